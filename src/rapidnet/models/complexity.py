"""How big is a network, and how far does it see?

A multiply-accumulate (MAC) counts once. Everything is derived on the meta device: nothing is computed.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import dropwhile
from math import prod
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Column, Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rapidnet.errors import UserError
from rapidnet.models.receptive_field import View, trace_views

InputSize = tuple[int, int, int]
WHOLE_INPUT = "whole input"
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class StageFacts:
    """One part of a network.

    `shape` is its output [C, H, W] (without the batch, so [C] after pooling), `macs` those of its convolutions and
    linear layers alone, `receptive_field` how many input pixels one output pixel sees along a side from the input on
    (border not considered, so it may exceed the input; 'whole input' after global pooling; None if unknown),
    `stride` the input pixels between neighbouring output pixels (None after global pooling or if unknown).
    """

    name: str
    shape: list[int]
    parameters: int
    macs: int
    receptive_field: int | str | None
    stride: int | None


@dataclass
class _Layer:
    name: str
    shape: list[int]
    macs: int = 0
    activations: int = 0


def count_parameters(model: nn.Module) -> int:
    """Elements of all parameters, shared ones once; buffers such as BatchNorm's statistics do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, input_size: InputSize) -> int:
    """Multiply-accumulates for one image [C, H, W] of convolutions, linear layers and the products of attention.

    Raises:
        UserError: the network cannot take this input.
    """
    with FlopCounterMode(display=False) as counter:
        _run_on_meta(_copy_to_meta(model), input_size)
    return counter.get_total_flops() // 2


def count_activations(model: nn.Module, input_size: InputSize) -> int:
    """Output elements of all convolution and linear layers for one image [C, H, W].

    Source: Radosavovic et al., Designing Network Design Spaces, CVPR 2020 (there of convolutions).
    """
    return sum(layer.activations for layer in _trace_layers(model, input_size)[0])


def trace_stages(model: nn.Module, input_size: InputSize) -> list[StageFacts]:
    """The stem, the stages that the network's `feature_info` names, and the head, for one image [C, H, W].

    A network without `feature_info` is one row, 'network'.
    """
    layers, output = _trace_layers(model, input_size)
    views = trace_views(model)
    order = {name: position for position, name in enumerate(dict(model.named_modules(remove_duplicate=False)))}
    stages = find_stages(model)
    names = list(dict.fromkeys(["stem", *stages, "head"] if stages else ["network"]))
    parameters = dict.fromkeys(names, 0)
    for name, parameter in model.named_parameters():
        parameters[_find_row(name.rpartition(".")[0], stages, order)] += parameter.numel()
    facts = []
    for row in names:
        # The module that finishes last gives the row's shape; one that holds a stage itself belongs to no row.
        within = [
            layer for layer in layers
            if _find_row(layer.name, stages, order) == row and not any(s.startswith(layer.name + ".") for s in stages)
        ]  # fmt: skip
        own = [view for name, view in (views or {}).items() if _find_row(name, stages, order) == row]
        if not within:
            continue
        field, stride = _summarize_views(own)
        shape = output if row == names[-1] else within[-1].shape
        facts.append(StageFacts(row, shape, parameters[row], sum(layer.macs for layer in within), field, stride))
    return facts


def describe(model: nn.Module, input_size: InputSize) -> dict[str, Any]:
    """Everything above in values that JSON can hold.

    Returns:
        input_size [C, H, W], params_m (millions), gmacs (1e9 MACs), activations_m (millions), stages: a list of
        `StageFacts` as dicts.
    """
    return {
        "input_size": list(input_size),
        "params_m": count_parameters(model) / 1e6,
        "gmacs": count_macs(model, input_size) / 1e9,
        "activations_m": count_activations(model, input_size) / 1e6,
        "stages": [asdict(stage) for stage in trace_stages(model, input_size)],
    }


def render(before: Mapping[str, Any], after: Mapping[str, Any] | None = None) -> RenderableType:
    """Tables of one description, or of a network's before and after folding side by side."""
    both = [before] if after is None else [before, after]
    headings = [""] if after is None else ["trained", "folded"]
    size = " x ".join(str(side) for side in before["input_size"])
    totals = Table(f"one image of {size}", *(Column(heading, justify="right") for heading in headings), box=SIMPLE_HEAD)
    for key, label, digits in (
        ("params_m", "parameters (M)", 3), ("gmacs", "MACs (G)", 4), ("activations_m", "activations (M)", 3)
    ):  # fmt: skip
        totals.add_row(label, *(f"{facts[key]:.{digits}f}" for facts in both))
    numbers = ["stride", "receptive\nfield (px)"]
    numbers += [f"{label}\n(M)\n{heading}".strip() for label in ("params", "MACs") for heading in headings]
    columns = (Column(name, justify="right", no_wrap=True, vertical="bottom") for name in numbers)
    texts = Column("part", vertical="bottom", overflow="fold"), Column("output", vertical="bottom", no_wrap=True)
    stages = Table(*texts, *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows = [{stage["name"]: stage for stage in facts["stages"]} for facts in both]
    for name, stage in rows[0].items():
        cells = [row.get(name) for row in rows]
        stages.add_row(
            name,
            "x".join(str(side) for side in stage["shape"]),
            _show(stage["stride"]),
            _show(stage["receptive_field"]),
            *(f"{cell['parameters'] / 1e6:.3f}" if cell else "-" for cell in cells),
            *(f"{cell['macs'] / 1e6:,.1f}" if cell else "-" for cell in cells),
        )
    return Group(totals, stages)


def _copy_to_meta(model: nn.Module) -> nn.Module:
    return deepcopy(model).to("meta").eval()


def _run_on_meta(model: nn.Module, input_size: InputSize) -> Any:
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    try:
        with torch.no_grad():
            return model(torch.empty(1, *input_size, dtype=dtype, device="meta"))
    except (RuntimeError, AssertionError, ValueError) as error:
        size = "x".join(str(side) for side in input_size)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"the network cannot take an input of {size} ({reason}); give another --image-size") from error


def _trace_layers(model: nn.Module, input_size: InputSize) -> tuple[list[_Layer], list[int]]:
    """Every module in the order in which they finish, and the shape of the network's (last) output."""
    copy, layers = _copy_to_meta(model), []

    def record(name: str, module: nn.Module, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        layer = _Layer(name, list(output.shape[1:]))
        if isinstance(module, WEIGHTED):
            layer.activations = output.numel()
            layer.macs = output.numel() * prod(module.weight.shape[1:])
        layers.append(layer)

    for name, module in copy.named_modules():
        if name:
            module.register_forward_hook(lambda module, _, output, name=name: record(name, module, output))
    output = _run_on_meta(copy, input_size)
    while isinstance(output, list | tuple):
        output = output[-1]
    return layers, list(output.shape[1:]) if isinstance(output, Tensor) else []


def find_stages(model: nn.Module) -> list[str]:
    """The modules that `feature_info` names; a lone norm or activation before the first real one is the stem's."""
    info = getattr(model, "feature_info", [])
    modules = dict(model.named_modules())
    named = [str(entry["module"]) for entry in getattr(info, "info", info)]
    # A features_only wrapper flattens the names.
    named = [name if name in modules else name.replace(".", "_") for name in named]
    stages = [name for name in named if name in modules]
    return list(dropwhile(lambda name: not any(isinstance(m, WEIGHTED) for m in modules[name].modules()), stages))


def _find_row(name: str, stages: list[str], order: dict[str, int]) -> str:
    """The part a module belongs to: the first stage that holds it or comes after it."""
    if not stages:
        return "network"
    inside = next((stage for stage in stages if name == stage or name.startswith(stage + ".")), None)
    after = next((stage for stage in stages if order[name] < order[stage]), "head")
    return inside or ("stem" if after == stages[0] else after)


def _summarize_views(views: list[View | None]) -> tuple[int | str | None, int | None]:
    """Receptive field and stride at a part's end: fields only grow along a network, so the largest is the last."""
    known = [view for view in views if view is not None]
    if not known or len(known) < len(views):
        return None, None
    if any(view.whole for view in known):
        return WHOLE_INPUT, None
    return max(view.field for view in known), max(view.jump for view in known)


def _show(value: object) -> str:
    return "-" if value is None else str(value)
