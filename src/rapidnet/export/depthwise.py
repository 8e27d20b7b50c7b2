"""How does a 7x7 depthwise convolution run on kernels of at most 25 taps?

XNNPACK, which computes ExecuTorch's and LiteRT's files, has depthwise kernels for up to 25 taps. A larger convolution
is run as a general one, a group for each channel, which costs RapidNet half of its int8 time. A 7x7 kernel is exactly
the sum of three of 7 rows and 3 columns: columns -1, 0, 1, then -2, 2 and -3, 3 as dilated kernels with an empty
middle.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn

from rapidnet.export.capture import Captured, export_program
from rapidnet.export.conversion import Conversion

MOST_TAPS = 25


class SplitDepthwise(nn.Sequential):
    """The same answers as a depthwise convolution of an odd, square kernel, stride 1 and 'same' padding.

    [B, C, H, W] -> the same shape. Features are at most `width` columns wide: pieces that would only ever see padding
    are left out, since a tensor of zeros has no scale in int8.
    """

    def __init__(self, whole: nn.Conv2d, width: int) -> None:
        super().__init__()
        channels, reach = whole.in_channels, whole.kernel_size[0] // 2
        for distance in range(1, min(reach, max(1, width - 1)) + 1):
            first = distance == 1
            piece = nn.Conv2d(
                channels, channels, (2 * reach + 1, 3), padding=(reach, distance), dilation=(1, distance),
                groups=channels, bias=first and whole.bias is not None,
            )  # fmt: skip
            columns = torch.tensor([reach - distance, reach, reach + distance])
            with torch.no_grad():
                piece.weight.copy_(whole.weight[..., columns])
                if not first:
                    piece.weight[..., 1] = 0
                if piece.bias is not None and whole.bias is not None:
                    piece.bias.copy_(whole.bias)
            self.append(piece.requires_grad_(False))

    def forward(self, features: Tensor) -> Tensor:
        first, *rest = self
        total: Tensor = first(features)
        for piece in rest:
            total = total + piece(features)
        return total


def can_be_split(layer: nn.Module) -> bool:
    """Whether a layer is a depthwise convolution of too many taps that `SplitDepthwise` can stand for."""
    if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels == layer.out_channels:
        return False
    side = layer.kernel_size[0]
    plain = layer.stride == layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    whole = layer.kernel_size == (side, side) and side % 2 == 1 and layer.padding == (side // 2, side // 2)
    return plain and whole and 3 * side <= MOST_TAPS < side * side


def split_depthwise(conversion: Conversion) -> Conversion:
    """The same conversion with every depthwise convolution of too many taps in pieces, captured anew.

    Layers that stay in float do so in all their pieces.
    """
    captured = conversion.captured
    large = [name for name, layer in captured.module.network.named_modules() if can_be_split(layer)]
    if not large:
        return conversion
    module, kept = deepcopy(captured.module), set(conversion.keep_float)
    widths = measure_widths(captured, large)
    for name in large:
        parent, _, own = name.rpartition(".")
        owner = module.network.get_submodule(parent)
        pieces = SplitDepthwise(module.network.get_submodule(name), widths[name])  # type: ignore[arg-type]
        setattr(owner, own, pieces)
        if name in kept:
            kept = kept - {name} | {f"{name}.{i}" for i in range(len(pieces))}
    program = export_program(module.eval(), captured.example, captured.spec)
    return replace(conversion, captured=replace(captured, module=module, program=program), keep_float=frozenset(kept))


def measure_widths(captured: Captured, names: list[str]) -> dict[str, int]:
    """Columns of what each of these layers is given, for the largest input."""
    widths: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda layer, arguments: widths.update({name: arguments[0].shape[-1]})

    layers = [(name, captured.module.network.get_submodule(name)) for name in names]
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers]
    with torch.inference_mode():
        captured.module(captured.example)
    for handle in handles:
        handle.remove()
    return widths
