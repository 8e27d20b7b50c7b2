"""How far does each layer of a network see, in theory?

A pixel of a layer sees `field` input pixels along a side, and neighbouring pixels stand `jump` input pixels apart: a
convolution or pooling with kernel k, dilation d and stride s makes field + (k - 1) d jump and jump s of them. Padding p
puts the middle of the first pixel's field ((k - 1) d / 2 - p) jump further in.
Source: Araujo, Norris, Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.
"""

import dataclasses
import operator
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm import layers
from torch import fx, nn

from rapidnet.models.mixers import AllPairs, MaxRelative

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLINGS = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)
POINTWISE = (
    nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.Linear, nn.modules.dropout._DropoutNd,
    layers.DropPath, layers.LayerScale, layers.LayerScale2d, layers.LayerNorm2d,
)  # fmt: skip
# Our attention sees the whole map, our graph the whole of a position's row and column.
GLOBAL = (nn.GroupNorm, nn.InstanceNorm2d, AllPairs, MaxRelative)
ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
ACTIVATION_MODULES = ("torch.nn.modules.activation", "timm.layers.activations", "timm.layers.activations_me")
POINTWISE_FUNCTIONS = {
    operator.add, operator.sub, operator.mul, operator.truediv, operator.neg, operator.iadd, operator.imul,
    torch.add, torch.sub, torch.mul, torch.div, torch.cat, torch.sigmoid, torch.tanh, torch.relu,
    F.relu, F.gelu, F.silu, F.hardswish, F.hardsigmoid, F.relu6, F.leaky_relu, F.elu, F.dropout, F.batch_norm,
}  # fmt: skip
POINTWISE_METHODS = {
    "add", "add_", "mul", "mul_", "sub", "div", "div_", "sigmoid", "tanh", "relu", "relu_", "clamp", "contiguous",
    "to", "float", "clone",
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """What one pixel of a layer sees: `field` input pixels along a side, at steps of `jump`; or the whole input.

    `start` is where the middle of the first pixel's field lies, in input pixels (a convolution that pads as it goes, as
    TensorFlow's do, counts as unpadded); views that differ in it alone are equal.
    """

    field: int = 1
    jump: int = 1
    whole: bool = False
    start: float = dataclasses.field(default=0.0, compare=False)


def trace_views(model: nn.Module) -> dict[str, View | None] | None:
    """The view of every leaf module by name, None where it is unknown (as after attention, or upsampling).

    None altogether for a network whose code cannot be traced symbolically. Height and width are assumed to be
    treated alike; of kernels that differ the larger counts. Where branches meet, the larger field counts. Linear
    layers are taken to act on channels.
    """
    model = deepcopy(model).eval()
    tracer = _LeafTracer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = tracer.trace(model)
    except Exception:  # tracing runs the network's own code, which may raise anything; then nothing is known
        return None
    modules = dict(model.named_modules())
    seen: dict[fx.Node, View | None] = {}
    views: dict[str, View | None] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            seen[node] = View()
        elif node.op in ("call_module", "call_function", "call_method", "output"):
            incoming = [seen[source] for source in node.all_input_nodes if source in seen]
            if not incoming:
                continue  # made of weights alone, so it sees nothing
            seen[node] = _step(node, _join(incoming), modules)
            if node.op == "call_module":
                views[str(node.target)] = seen[node]
    return views


class _LeafTracer(fx.Tracer):
    """Stops at modules without children and at those whose effect is known as a whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = (*CONVOLUTIONS, *POOLINGS, *POINTWISE, *ADAPTIVE, *GLOBAL, layers.SelectAdaptivePool2d)
        return isinstance(m, known) or not any(True for _ in m.children())


def _join(views: Sequence[View | None]) -> View | None:
    """The view of a value made of several: the largest field; unknown if one of them is."""
    known = [view for view in views if view is not None]
    if len(known) < len(views):
        return None
    largest = max(known, key=lambda view: view.field)
    return View(largest.field, max(v.jump for v in known), any(v.whole for v in known), largest.start)


def _step(node: fx.Node, view: View | None, modules: dict[str, nn.Module]) -> View | None:
    if view is None or view.whole or node.op == "output":
        return view
    if node.op == "call_module":
        return _step_module(modules[str(node.target)], view)
    if node.op == "call_function" and node.target in POINTWISE_FUNCTIONS:
        return view
    if node.op == "call_method" and node.target in POINTWISE_METHODS:
        return view
    if node.target in ("permute", torch.permute):
        # Between channels first and last; any other order would let a linear layer mix positions.
        order = node.args[1:] if len(node.args) > 2 else node.args[1]
        return view if order in ((0, 2, 3, 1), (0, 3, 1, 2), [0, 2, 3, 1], [0, 3, 1, 2]) else None
    if node.target in ("mean", torch.mean):
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        return View(whole=True) if dims in ((2, 3), [2, 3], (-2, -1), [-2, -1], None) else None
    if node.target in ("flatten", torch.flatten):
        return View(whole=True) if node.args[1:] == (1,) else None
    if node.target is F.adaptive_avg_pool2d:
        return View(whole=True) if node.args[1:] in ((1,), ((1, 1),)) else None
    return None


def _step_module(module: nn.Module, view: View) -> View | None:
    if isinstance(module, CONVOLUTIONS):
        return _slide(view, module.kernel_size, module.stride, module.dilation, module.padding)
    if isinstance(module, POOLINGS):
        return _slide(view, module.kernel_size, module.stride, getattr(module, "dilation", 1), module.padding)
    if isinstance(module, layers.SelectAdaptivePool2d):
        return view if module.is_identity() else View(whole=True)
    if isinstance(module, ADAPTIVE):
        return View(whole=True) if _largest(module.output_size) == 1 else None
    spatial_norm = isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1
    if spatial_norm or isinstance(module, GLOBAL) or (isinstance(module, nn.Flatten) and module.start_dim == 1):
        return View(whole=True)
    is_activation = type(module).__module__ in ACTIVATION_MODULES and not isinstance(module, nn.MultiheadAttention)
    return view if is_activation or isinstance(module, POINTWISE) else None


def _slide(view: View, kernel: Any, stride: Any, dilation: Any, padding: Any) -> View:
    reach = (_largest(kernel) - 1) * _largest(dilation)
    names = {"valid": 0.0, "same": reach / 2}
    before = names[padding] if isinstance(padding, str) else _largest(padding)
    start = view.start + (reach / 2 - before) * view.jump
    return View(view.field + reach * view.jump, view.jump * _largest(stride), start=start)


def _largest(size: Any) -> int:
    return max(size) if isinstance(size, tuple | list) else int(size)
