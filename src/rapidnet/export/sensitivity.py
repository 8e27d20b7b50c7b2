"""Which layers lose most when computed in int8? Each alone, the rest in float, judged at the network's answers."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidnet.export.capture import Deployed
from rapidnet.export.checks import compute_sqnr
from rapidnet.runtimes.network import Array

IMAGES = 16


@dataclass(frozen=True)
class LayerNoise:
    """A convolution in int8 by itself: `sqnr_db` at the logits, and `own_sqnr_db` at its own output."""

    layer: str
    sqnr_db: float
    own_sqnr_db: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_layers(module: Deployed, pixels: Array) -> list[LayerNoise]:
    """Every convolution of a folded network, worst first.

    Weights are rounded per output channel, symmetric; inputs per tensor, asymmetric, between their own extremes.

    Args:
        module: as captured; pixels: uint8 [N, 3, S, S] training images, of which the first 16 are used.
    """
    network = module.network
    inputs = (torch.from_numpy(pixels[:IMAGES]).float() - module.mean) * module.scale
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}
    clean: dict[str, Tensor] = {}
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
            seen[name] = (arguments[0].amin(), arguments[0].amax())
            clean[name] = output

        return hook

    def disturb(name: str) -> Any:
        def hook(layer: nn.Conv2d, arguments: tuple[Tensor], output: Tensor) -> Tensor:
            rounded: Tensor = layer._conv_forward(
                round_activation(arguments[0], *seen[name]), round_weight(layer.weight), layer.bias
            )
            own[name] = compute_sqnr(clean[name].numpy(), rounded.numpy())
            return rounded

        return hook

    own: dict[str, float] = {}
    with torch.inference_mode():
        handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
        reference = network(inputs).numpy()
        for handle in handles:
            handle.remove()
        noises = []
        for name, layer in layers.items():
            handle = layer.register_forward_hook(disturb(name))
            noises.append(LayerNoise(name, round(compute_sqnr(reference, network(inputs).numpy()), 2), own[name]))
            handle.remove()
    return sorted(noises, key=lambda noise: noise.sqnr_db)


def round_weight(weight: Tensor) -> Tensor:
    """To 255 levels per output channel, symmetric, and back."""
    scale = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().clamp(-127, 127) * scale


def round_activation(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """To 256 levels between `low` and `high`, which are made to include zero, and back."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-12)
    zero = (-low / scale).round()
    return ((values / scale + zero).round().clamp(0, 255) - zero) * scale
