"""How is a trained network folded into its deployed form, exactly?

conv+BN become one convolution, the depthwise skip one kernel, each layer scale the 1x1 before it, both heads one.
The folded network computes the same function: to 1e-10 in float64, to rounding in float32.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from timm.layers import LayerScale2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from rapidnet.errors import UserError
from rapidnet.models.rapidnet import ConvNorm, InvertedResidual, RapidNet, RapidNetBlock, RepDepthwiseConv

ModelT = TypeVar("ModelT", bound=nn.Module)


def reparameterize(model: ModelT) -> ModelT:
    """Return a folded copy of `model`; the model itself is left alone. Folding twice changes nothing more.

    Args:
        model: a RapidNet, a `features_only` one, or any network that contains RapidNet's blocks, in eval mode.
    Raises:
        UserError: the model is in training mode, where BatchNorm has no fixed statistics to fold.
    """
    if model.training:
        raise UserError("reparameterize needs a network in eval mode, this one is in training mode; call .eval() first")
    folded = deepcopy(model)
    with torch.no_grad():
        # BatchNorm first: a layer scale then multiplies the convolution that already holds it.
        for module in list(folded.modules()):
            if isinstance(module, ConvNorm):
                _fold_batch_norm(module)
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


def _fold_batch_norm(module: ConvNorm) -> None:
    bn = module.bn
    if not isinstance(bn, nn.BatchNorm2d):
        return
    assert bn.running_mean is not None and bn.running_var is not None
    conv = module.conv
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    _set_weights(conv, weight, bias)
    module.bn = nn.Identity()


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
