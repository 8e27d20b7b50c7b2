"""How is a trained network folded into its deployed form, exactly?

conv+BN become one convolution, the depthwise skip one kernel, each layer scale the 1x1 before it, both heads one;
in detectors and segmenters the heads' and the pyramid's conv+BN, too.
The folded network computes the same function: to 1e-10 in float64, to rounding in float32.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from timm.layers import LayerScale2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import Conv2dNormActivation

from rapidnet.errors import UserError
from rapidnet.models.one_stage import LevelConvNorm
from rapidnet.models.rapidnet import ConvNorm, InvertedResidual, RapidNet, RapidNetBlock, RepDepthwiseConv

ModelT = TypeVar("ModelT", bound=nn.Module)


def reparameterize(model: ModelT) -> ModelT:
    """Return a folded copy of `model`; the model itself is left alone. Folding twice changes nothing more.

    Args:
        model: a RapidNet, a `features_only` one, or any network that contains RapidNet's blocks, such as our
            detectors and segmenters, in eval mode.
    Raises:
        UserError: the model is in training mode, where BatchNorm has no fixed statistics to fold.
    """
    if model.training:
        raise UserError("reparameterize needs a network in eval mode, this one is in training mode; call .eval() first")
    folded = deepcopy(model)
    with torch.no_grad():
        # BatchNorm first: a layer scale then multiplies the convolution that already holds it.
        for module in list(folded.modules()):
            if isinstance(module, ConvNorm | Conv2dNormActivation):
                _fold_batch_norms(module)
            elif isinstance(module, LevelConvNorm):
                _fold_levels(module)
        for module in list(folded.modules()):
            if isinstance(module, InvertedResidual):
                module.layer_scale = _fold_layer_scale(module.layer_scale, module.project)
            elif isinstance(module, RapidNetBlock):
                module.layer_scale_1 = _fold_layer_scale(module.layer_scale_1, getattr(module.mixer, "fc2", None))
                module.layer_scale_2 = _fold_layer_scale(module.layer_scale_2, module.ffn.fc2)
            elif isinstance(module, RapidNet):
                _merge_heads(module)
            for name, child in list(module.named_children()):
                if isinstance(child, RepDepthwiseConv):
                    setattr(module, name, _fold_depthwise_skip(child))
    return folded.eval()


def is_folded(model: nn.Module) -> bool:
    """Whether no BatchNorm is left to fold."""
    return not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def _fold_batch_norms(module: nn.Sequential) -> None:
    """Fold each BatchNorm of a sequence into the convolution just before it."""
    previous: nn.Module | None = None
    for name, layer in list(module.named_children()):
        if isinstance(previous, nn.Conv2d) and isinstance(layer, nn.BatchNorm2d):
            _fold_batch_norm(previous, layer)
            setattr(module, name, nn.Identity())
        previous = layer


def _fold_levels(module: LevelConvNorm) -> None:
    """Give each level a copy of the shared convolution, with its BatchNorm folded in, in the norm's place."""
    shared = module.conv
    if not isinstance(shared, nn.Conv2d) or not all(isinstance(norm, nn.BatchNorm2d) for norm in module.norms):
        return
    for i, norm in enumerate(module.norms):
        conv = deepcopy(shared)
        _fold_batch_norm(conv, norm)
        module.norms[i] = conv
    module.conv = nn.Identity()


def _fold_batch_norm(conv: nn.Conv2d, bn: nn.Module) -> None:
    assert isinstance(bn, nn.BatchNorm2d) and bn.running_mean is not None and bn.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    _set_weights(conv, weight, bias)


def _fold_layer_scale(scale: nn.Module, before: nn.Module | None) -> nn.Module:
    foldable = (
        isinstance(before, ConvNorm) and isinstance(before.bn, nn.Identity) and isinstance(before.act, nn.Identity)
    )
    if not isinstance(scale, LayerScale2d) or not foldable:
        return scale
    assert isinstance(before, ConvNorm) and before.conv.bias is not None
    gamma = scale.gamma
    _set_weights(before.conv, before.conv.weight * gamma[:, None, None, None], before.conv.bias * gamma)
    return nn.Identity()


def _fold_depthwise_skip(module: RepDepthwiseConv) -> nn.Conv2d:
    weight = module.conv.weight.clone()
    weight[:, 0, weight.shape[2] // 2, weight.shape[3] // 2] += 1.0
    _set_weights(module.conv, weight, module.conv.bias)
    return module.conv


def _merge_heads(model: RapidNet) -> None:
    head, dist = model.head, model.head_dist
    if isinstance(head, nn.Conv2d) and isinstance(dist, nn.Conv2d):
        assert head.bias is not None and dist.bias is not None
        _set_weights(head, (head.weight + dist.weight) / 2, (head.bias + dist.bias) / 2)
    model.head_dist, model.distillation, model.distilled_training = None, False, False


def _set_weights(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> None:
    conv.weight = nn.Parameter(weight.detach(), requires_grad=conv.weight.requires_grad)
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach(), requires_grad=conv.weight.requires_grad)
