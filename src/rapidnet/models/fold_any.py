"""How is a network that is not ours folded, so that it is deployed as well as its authors would?

timm's own `reparameterize_model` merges branches (RepVGG, MobileOne, FastViT, RepViT); then each BatchNorm goes into
the convolution before it, and a linear classifier becomes the 1x1 convolution it is, which every runtime can run in
int8 as it does the rest.
"""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool
from timm.utils import reparameterize_model
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from rapidnet.models.features import FeatureBackbone
from rapidnet.models.rapidnet import RapidNet
from rapidnet.models.reparameterize import is_folded, reparameterize


def fold_any(model: nn.Module) -> nn.Module:
    """A folded copy of any network in eval mode; ours by `reparameterize`, the same function always.

    A network that torch.fx cannot trace keeps its BatchNorms: runtimes fold most of them by themselves.
    """
    folded = reparameterize(model)
    backbones = [module for module in folded.modules() if isinstance(module, FeatureBackbone)]
    for backbone in backbones:
        # A detector cannot be traced as a whole, its backbone can.
        backbone.body = backbone.body if is_folded(backbone.body) else fold_any(backbone.body)
    if backbones or any(isinstance(module, RapidNet) for module in folded.modules()):
        return folded
    folded = reparameterize_model(folded).eval()
    # Before torch.fx looks: it takes timm's own kinds of layers apart.
    classifiers = {name for name, layer in model.named_modules() if layer is find_classifier(model)}
    linear = [layer for name, layer in folded.named_modules() if name in classifiers and isinstance(layer, nn.Linear)]
    replace_children(folded, lambda layer: write_as_convolution(layer) if layer in linear else separate(layer))
    with suppress(TraceError, TypeError, RuntimeError, AttributeError):
        folded = fuse(folded)
    return keep_dimensions(folded.eval(), model, classifiers) if linear else folded.eval()


def keep_dimensions(folded: nn.Module, model: nn.Module, classifiers: set[str]) -> nn.Module:
    """Without the flattening before a classifier that takes [B, C, 1, 1] as well: XNNPACK refuses it in int8.

    What lies between pooling and classifier may need it, so the answers decide.
    """
    flat = deepcopy(folded)
    for name, layer in list(flat.named_modules()):
        parent, _, own = name.rpartition(".")
        last = parent in classifiers and isinstance(layer, nn.Flatten)
        if isinstance(layer, nn.Flatten | nn.Unflatten) and not last:
            setattr(flat.get_submodule(parent), own, nn.Identity())
    cfg: Any = model.pretrained_cfg
    image = torch.rand(1, *cfg["input_size"], generator=torch.Generator().manual_seed(0))
    image = image.to(next(model.parameters()))
    with torch.inference_mode(), suppress(RuntimeError, ValueError, IndexError):
        if torch.equal(flat(image), folded(image)):
            return flat
    return folded


def find_classifier(model: nn.Module) -> nn.Module | None:
    find = getattr(model, "get_classifier", None)
    return find() if callable(find) else None


def replace_children(model: nn.Module, change: Callable[[nn.Module], nn.Module]) -> None:
    """Put `change(layer)` in the place of every layer inside."""
    for name, child in list(model.named_children()):
        changed = change(child)
        if changed is not child:
            setattr(model, name, changed)
        else:
            replace_children(child, change)


def separate(layer: nn.Module) -> nn.Module:
    """timm's layers that do two things as the two.

    Only a plain BatchNorm is folded, and XNNPACK refuses an int8 mean that drops its dimensions at once.
    """
    if isinstance(layer, FastAdaptiveAvgPool) and layer.flatten:
        return nn.Sequential(FastAdaptiveAvgPool(flatten=False), nn.Flatten(1))
    if not isinstance(layer, BatchNormAct2d) or not layer.track_running_stats:
        return layer
    norm = nn.BatchNorm2d(layer.num_features, layer.eps, affine=layer.affine).to(layer.running_mean)
    own = norm.state_dict()
    norm.load_state_dict({name: value for name, value in layer.state_dict().items() if name in own})
    return nn.Sequential(norm, layer.drop, layer.act).eval()


def write_as_convolution(layer: nn.Linear) -> nn.Module:
    """[B, C] -> [B, K] through a 1x1 convolution."""
    convolution = nn.Conv2d(layer.in_features, layer.out_features, 1, bias=layer.bias is not None).to(layer.weight)
    with torch.no_grad():
        convolution.weight.copy_(layer.weight[..., None, None])
        if convolution.bias is not None:
            convolution.bias.copy_(layer.bias)
    return nn.Sequential(nn.Unflatten(1, (layer.in_features, 1, 1)), convolution, nn.Flatten(1))
