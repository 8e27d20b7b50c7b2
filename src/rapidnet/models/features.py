"""How does any timm network become the backbone of a detector or segmenter?

Its features at chosen strides, and a feature pyramid (torchvision's) on top of them.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from rapidnet.errors import UserError, nearest
from rapidnet.models.factory import create_model


class FeatureBackbone(nn.Module):
    """A timm network's features: [B, 3, H, W] -> one [B, channels[i], H / strides[i], W / strides[i]] a stride.

    Args:
        name: rapidnet_ti, _s, _m, _b or any timm network that has features at these strides.
        strides: input pixels between neighbouring feature pixels, rising.
        freeze_batch_norm: BatchNorm keeps its statistics, scales and shifts in training mode, too.
        checkpoint, use_ema, options: for `create_model`; a classifier's checkpoint, or a detector's.
    Raises:
        UserError: an unknown name or option, a stride the network lacks, or a checkpoint of another network.
    """

    def __init__(
        self, name: str, strides: Sequence[int], freeze_batch_norm: bool = False,
        checkpoint: str | Path | None = None, use_ema: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        indices = find_indices(name, strides, options)
        self.body: nn.Module = create_model(
            name, checkpoint, use_ema, features_only=True, out_indices=indices, **options
        )
        info: Any = self.body.feature_info
        self.strides, self.channels = list(strides), list(info.channels())
        cfg: Any = self.body.pretrained_cfg
        self.mean, self.std = tuple(cfg["mean"]), tuple(cfg["std"])
        self.channels_last = str(getattr(self.body, "output_fmt", "")).endswith("NHWC")
        self.freeze_batch_norm = freeze_batch_norm
        if freeze_batch_norm:
            for norm in find_batch_norms(self.body):
                norm.requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureBackbone":
        """Training or eval mode; frozen BatchNorms stay in eval mode, whatever kind they were converted to."""
        super().train(mode)
        if self.freeze_batch_norm:
            for norm in find_batch_norms(self.body):
                norm.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.body(images)
        return [feature.permute(0, 3, 1, 2) for feature in features] if self.channels_last else features


class PyramidBackbone(nn.Module):
    """Features and a pyramid over them, as torchvision's detectors take it.

    [B, 3, H, W] -> {'0': [B, out_channels, H / strides[0], W / strides[0]], '1': ..., and 'pool' for an extra level}.
    """

    def __init__(
        self, backbone: FeatureBackbone, channels: int, extra_level: ExtraFPNBlock | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.features, self.out_channels = backbone, channels
        self.fpn = FeaturePyramidNetwork(backbone.channels, channels, extra_level, norm_layer)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.features(images)
        pyramid: dict[str, Tensor] = self.fpn(OrderedDict((str(i), value) for i, value in enumerate(features)))
        return pyramid


def find_batch_norms(model: nn.Module) -> list[nn.Module]:
    """BatchNorms of every kind: the released detector froze BatchNorm2d alone and, converted to SyncBatchNorm, none."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def build_backbone(
    name: str, strides: Sequence[int], freeze_batch_norm: bool | None, freeze_default: bool,
    checkpoint: str | Path | None, use_ema: bool, options: dict[str, Any] | None,
) -> FeatureBackbone:  # fmt: skip
    """A `FeatureBackbone`; raises UserError as it does, and where there is no BatchNorm to freeze though asked for."""
    freeze = freeze_default if freeze_batch_norm is None else freeze_batch_norm
    backbone = FeatureBackbone(name, strides, freeze, checkpoint, use_ema, **(options or {}))
    if freeze_batch_norm and not find_batch_norms(backbone):
        raise UserError(f"backbone '{name}' has no BatchNorm to freeze; leave freeze_batch_norm out")
    return backbone


def find_indices(name: str, strides: Sequence[int], options: dict[str, Any]) -> list[int]:
    """Which features of a timm network have these strides; the last of each, where several have one.

    Raises:
        UserError: an unknown network or option, one without features, or without these strides.
    """
    if not timm.is_model(name):
        raise UserError(f"backbone '{name}' is unknown to timm{nearest(name, timm.list_models())}")
    plain = {key: value for key, value in options.items() if key != "pretrained"}
    try:
        with torch.device("meta"):
            info: Any = timm.create_model(name, features_only=True, **plain).feature_info
    except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
        raise UserError(f"backbone '{name}' cannot be built for features: {error}") from error
    reductions = list(info.reduction())
    for stride in strides:
        if stride not in reductions:
            raise UserError(
                f"backbone '{name}' has features at strides {', '.join(map(str, reductions))}; "
                f"{', '.join(map(str, strides))} are needed; take another network, such as rapidnet_ti"
            )
    positions = {reduction: index for index, reduction in zip(info.out_indices, reductions, strict=True)}
    return [positions[stride] for stride in strides]
