"""What mixes positions in a stage's blocks: multi-level dilated convolutions, or, in a hybrid, attention or a graph?

Each hybrid's mixer keeps the frame of `MultiLevelDilatedConv`: the 7x7 depthwise skip, a 1x1, the mixing itself, and a
1x1 with BatchNorm that takes the layer scale when folded. So a study of them compares the mixing and nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.layers import LayerType
from torch import Tensor, nn

from rapidnet.errors import UserError, nearest
from rapidnet.models.rapidnet import ConvNorm, MultiLevelDilatedConv, RepDepthwiseConv

BuildMixer = Callable[..., nn.Module]
HEAD_WIDTH = 32
"""Channels of an attention head, or more where they do not divide the width."""
STEP = 2
"""Positions between the neighbours of a graph's node, as MobileViG has it."""


class AllPairs(nn.Module):
    """Multi-head attention of every position to every other: [B, 3 dim, H, W] (query, key, value) -> [B, dim, H, W]."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, qkv: Tensor) -> Tensor:
        batch, channels, height, width = qkv.shape
        # Slices and plain products, of which every format has the like.
        parts = qkv.reshape(batch, 3 * self.heads, channels // 3 // self.heads, height * width)
        query, key, value = (parts[:, i * self.heads : (i + 1) * self.heads] for i in range(3))
        weights = (query.transpose(2, 3) @ key * key.shape[2] ** -0.5).softmax(-1)
        return (value @ weights.transpose(2, 3)).reshape(batch, channels // 3, height, width)


class AttentionMixer(nn.Module):
    """Depthwise skip, which tells positions apart, then self-attention over the whole map; [B, dim, H, W].

    Sources: Vaswani et al., Attention Is All You Need, arXiv 1706.03762; for positions from a depthwise convolution,
    Chu et al., Conditional Positional Encodings for Vision Transformers, arXiv 2102.10882. An activation has no place
    in it: softmax bends.
    """

    def __init__(self, dim: int, act_layer: LayerType = "gelu") -> None:
        super().__init__()
        self.depthwise: nn.Module = RepDepthwiseConv(dim)
        self.fc1 = ConvNorm(dim, 3 * dim)
        self.mix = AllPairs(next(heads for heads in range(max(1, dim // HEAD_WIDTH), 0, -1) if dim % heads == 0))
        self.fc2 = ConvNorm(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.mix(self.fc1(self.depthwise(x))))


class MaxRelative(nn.Module):
    """For each position and channel, by how much its largest neighbour exceeds it, or 0; [B, dim, H, W] -> the same.

    Neighbours are every STEP-th position of its row and of its column, beyond the border from the other side on.
    """

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x.shape[2], torch.SymInt) or isinstance(x.shape[3], torch.SymInt):
            raise UserError(
                "the neighbours of mixer_layer 'graph' follow from the image size, so an export of it has one size; "
                "leave out --max-image-size"
            )
        largest = x
        # Rolled by hand: not every format has an operator for it.
        for shift in range(STEP, x.shape[2], STEP):
            largest = torch.maximum(largest, torch.cat((x[:, :, -shift:], x[:, :, :-shift]), 2))
        for shift in range(STEP, x.shape[3], STEP):
            largest = torch.maximum(largest, torch.cat((x[:, :, :, -shift:], x[:, :, :, :-shift]), 3))
        return largest - x


class GraphMixer(nn.Module):
    """Max-relative graph convolution over a sparse grid that is the same for all images; [B, dim, H, W].

    Source: Munir, Avery, Marculescu, MobileViG: Graph-Based Sparse Attention for Mobile Vision Applications, 2023,
    arXiv 2307.00395.
    """

    def __init__(self, dim: int, act_layer: LayerType = "gelu") -> None:
        super().__init__()
        self.depthwise: nn.Module = RepDepthwiseConv(dim)
        self.fc1 = ConvNorm(dim, dim)
        self.mix = MaxRelative()
        self.update = ConvNorm(2 * dim, dim, act_layer=act_layer)
        self.fc2 = ConvNorm(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(self.depthwise(x))
        return self.fc2(self.update(torch.cat((x, self.mix(x)), 1)))


MIXERS: dict[str, BuildMixer] = {"attention": AttentionMixer, "graph": GraphMixer}


def build_mixers(mixer_layer: Any, mldc: dict[str, Any], mldc_depths: Sequence[int]) -> list[BuildMixer]:
    """One mixer factory per stage, from names, callables or None (MLDC): one for all stages, or one for each.

    Raises:
        ValueError: an unknown name, a mixer in a stage without blocks for it, MLDC arguments that no stage would use.
    """
    per_stage = list(mixer_layer) if isinstance(mixer_layer, list | tuple) else [mixer_layer] * len(mldc_depths)
    if len(per_stage) != len(mldc_depths):
        raise ValueError(f"mixer_layer has {len(per_stage)} entries; give one, or one for each of 4 stages")
    if isinstance(mixer_layer, list | tuple):
        idle = [i for i, count in enumerate(mldc_depths) if per_stage[i] is not None and not count]
        if idle:
            raise ValueError(f"mixer_layer of stage {idle[0]} has no effect, it has no MLDC block; give null there")
    used = any(count and layer is None for layer, count in zip(per_stage, mldc_depths, strict=True))
    if not used and mldc != {"dilations": (2, 3), "branch_sum": "after_act", "dw_kernel_size": 7}:
        raise ValueError(f"no block uses an MLDC mixer, so {mldc} would have no effect; leave these arguments out")

    def build_mldc(dim: int, **kwargs: Any) -> nn.Module:
        return MultiLevelDilatedConv(dim, **mldc, **kwargs)

    return [find_mixer(layer) or build_mldc for layer in per_stage]


def find_mixer(layer: str | BuildMixer | None) -> BuildMixer | None:
    """The mixer of a name; a callable and None are kept."""
    if not isinstance(layer, str):
        return layer
    if layer not in MIXERS:
        raise ValueError(
            f"mixer_layer {layer!r} is unknown{nearest(layer, list(MIXERS))}; "
            f"give {', '.join(map(repr, MIXERS))}, or null for MLDC"
        )
    return MIXERS[layer]
