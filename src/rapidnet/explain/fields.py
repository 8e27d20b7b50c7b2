"""How far does each stage of a network see: in theory, and by what its middle output really depends on?

The effective receptive field is the gradient of the output pixel nearest the middle, summed over channels, with respect
to the input: its absolute values, each picture's summing to 1, averaged over pictures.
Sources: Luo et al., Understanding the Effective Receptive Field, NeurIPS 2016 (arXiv 1701.04128); the shares of area
after Ding et al., RepLKNet, CVPR 2022 (arXiv 2203.06717, Sec. 4.3).
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rapidnet.errors import UserError
from rapidnet.models.complexity import find_stages
from rapidnet.models.receptive_field import View, trace_views
from rapidnet.runtimes.network import Array

SHARES = (20, 30, 50, 99)
"""Percent of the contribution that a square has to hold."""


@dataclass(frozen=True)
class Field:
    """What a stage sees of a square picture.

    theory: along a side, in pixels (None if unknown); middle: (y, x) that it is centred on; shares [S, S]: what each
    pixel contributes to the middle output, in sum 1 (or all 0, where no gradient arrives).
    """

    stage: str
    theory: int | None
    middle: tuple[float, float]
    shares: Array

    def measure(self) -> dict[str, Any]:
        """stage, theory; of the smallest squares around `middle` that hold a share, by SHARES: sides in pixels, as if
        the picture went on, and areas in percent of the picture, what lies outside left out."""
        sides: dict[str, float] = {}
        areas: dict[str, float] = {}
        distance = compute_distances(len(self.shares), self.middle)
        reaches, order = np.unique(distance, return_inverse=True)
        held = np.cumsum(np.bincount(order.ravel(), weights=self.shares.ravel()))
        for share in SHARES:
            # Where rounding leaves the sum short of all, the last square counts.
            place = min(int(np.searchsorted(held, share / 100 * held[-1] * (1 - 1e-12))), len(reaches) - 1)
            sides[str(share)] = float(2 * reaches[place] + 1)
            areas[str(share)] = 100 * float((distance <= reaches[place]).mean())
        return {"stage": self.stage, "theory": self.theory, "sides": sides, "areas": areas}


def compute_distances(size: int, middle: tuple[float, float]) -> Array:
    """Of every pixel the larger of its distances from `middle` along the two axes: [S, S]."""
    y, x = np.abs(np.arange(size) - middle[0]), np.abs(np.arange(size) - middle[1])
    return np.maximum(y[:, None], x[None, :])


def measure_fields(
    model: nn.Module, normalize: Callable[[Tensor], Tensor], pixels: Array, batch_size: int,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Field]:  # fmt: skip
    """The field of every stage that `feature_info` names.

    Args:
        model: in eval mode; it is left as it was.
        normalize: uint8 [B, 3, S, S] -> the network's input.
        pixels: uint8 [N, 3, S, S].
    Raises:
        UserError: a network without stages of feature maps.
    """
    names = find_stages(model)
    if not names:
        raise UserError("the network names no stages (timm's feature_info), so there are no fields to show")
    views = trace_views(model) or {}
    size, device = pixels.shape[-1], next(model.parameters()).device
    sums = [np.zeros((size, size)) for _ in names]
    middles: list[tuple[float, float]] = []
    for start in range(0, len(pixels), batch_size):
        images = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch_size])).to(device)
        inputs = normalize(images).contiguous().requires_grad_()
        features = run_stages(model, inputs, names)
        places = [
            find_middle(feature, find_view(views, name), size) for name, feature in zip(names, features, strict=True)
        ]
        middles = [middle for _, middle in places]
        for total, feature, ((row, column), _) in zip(sums, features, places, strict=True):
            (slope,) = torch.autograd.grad(feature[:, :, row, column].sum(), inputs, retain_graph=True)
            total += sum_shares(slope)
        advance(len(images))
    known = [find_view(views, name) for name in names]
    theory = [view.field if view and not view.whole else None for view in known]
    return [
        Field(name, field, middle, total / max(total.sum(), 1e-300))
        for name, field, middle, total in zip(names, theory, middles, sums, strict=True)
    ]


def sum_shares(slope: Tensor) -> Array:
    """Gradients [B, 3, S, S] -> absolute values [S, S], every picture's divided by their sum."""
    absolute = slope.double().abs().sum(1)
    total = absolute.sum((1, 2), keepdim=True)
    shares: Array = torch.where(total > 0, absolute / total, 0).sum(0).cpu().numpy()
    return shares


def run_stages(model: nn.Module, inputs: Tensor, names: list[str]) -> list[Tensor]:
    """The outputs [B, C, h, w] of the modules named; raises UserError for one that gives no such maps."""
    found: dict[str, Any] = {}
    with ExitStack() as hooks:
        for name in names:

            def keep(module: nn.Module, arguments: Any, output: Any, name: str = name) -> None:
                found[name] = output

            hooks.callback(model.get_submodule(name).register_forward_hook(keep).remove)
        model(inputs)
    for name in names:
        if not isinstance(found.get(name), Tensor) or found[name].ndim != 4:
            raise UserError(f"{name} of the network gives no feature maps [B, C, H, W], so it has no field to show")
    return [found[name] for name in names]


def find_view(views: dict[str, View | None], stage: str) -> View | None:
    """The view at a stage's end: fields only grow along a network. None where a part of it is unknown."""
    inside = [view for name, view in views.items() if name == stage or name.startswith(stage + ".")]
    known = [view for view in inside if view is not None]
    return max(known, key=lambda view: view.field) if known and len(known) == len(inside) else None


def find_middle(feature: Tensor, view: View | None, size: int) -> tuple[tuple[int, int], tuple[float, float]]:
    """The output pixel whose field lies nearest the picture's middle: (row, column), and where in the picture it is.

    Where the view is unknown, output pixels are taken to tile the picture.
    """
    places, middles = [], []
    for side in feature.shape[2:]:
        start, jump = (view.start, view.jump) if view and not view.whole else ((size / side - 1) / 2, size / side)
        centres = start + jump * np.arange(side)
        place = int(np.abs(centres - (size - 1) / 2).argmin())
        places.append(place)
        middles.append(float(centres[place]))
    return (places[0], places[1]), (middles[0], middles[1])
