"""How is a detector made from the names of its kind and its backbone?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rapidnet.errors import UserError, nearest
from rapidnet.models.dense_checkpoints import check_request, load_dense_weights
from rapidnet.models.detection_settings import OneStageSettings, TwoStageSettings, build_settings
from rapidnet.models.features import FeatureBackbone, build_backbone
from rapidnet.models.one_stage import OneStageDetector
from rapidnet.models.two_stage import TwoStageDetector


@dataclass(frozen=True)
class Kind:
    """One kind of detector.

    settings: its numbers; build: (backbone, num_classes, settings) -> the detector; strides: of the backbone's
    features, from those of the pyramid; freeze: whether BatchNorm of the backbone is frozen unless one says otherwise.
    """

    settings: Any
    build: Callable[[FeatureBackbone, int, Any], nn.Module]
    strides: Callable[[Any], tuple[int, ...]]
    freeze: bool


KINDS = {
    "mask_rcnn": Kind(
        TwoStageSettings, lambda *parts: TwoStageDetector(parts[0], parts[1], True, parts[2]),
        lambda settings: settings.strides[:-1], freeze=True,
    ),
    "faster_rcnn": Kind(
        TwoStageSettings, lambda *parts: TwoStageDetector(parts[0], parts[1], False, parts[2]),
        lambda settings: settings.strides[:-1], freeze=True,
    ),
    "fcos": Kind(OneStageSettings, OneStageDetector, lambda settings: settings.strides, freeze=False),
}  # fmt: skip


def create_detector(
    backbone: str, num_classes: int, kind: str = "mask_rcnn", checkpoint: str | Path | None = None,
    backbone_checkpoint: str | Path | None = None, use_ema: bool = True, freeze_batch_norm: bool | None = None,
    backbone_options: dict[str, Any] | None = None, **settings: Any,
) -> nn.Module:  # fmt: skip
    """A detector: mask_rcnn (the paper's), faster_rcnn (the same without masks) or fcos (small, exported whole).

    All take and give labels from 0 to num_classes - 1; see `TwoStageDetector` for what goes in and comes out.

    Args:
        backbone: rapidnet_ti, _s, _m, _b or any timm network with features at the strides needed.
        num_classes: of objects; the background is not one. 80 for the released detectors.
        checkpoint: weights of the whole detector, ours or, for mask_rcnn, the authors' (mmdetection); strictly.
        backbone_checkpoint: weights of the backbone alone, as `create_model` takes them.
        use_ema: take the averaged weights where a file has them.
        freeze_batch_norm: BatchNorm of the backbone keeps statistics, scales and shifts in training, too. As a rule
            where the backbone has any: yes for the two R-CNNs, which are fine-tuned in small batches; no for fcos.
        backbone_options: of the network, such as drop_path_rate (0.1 in the released training) or pretrained.
        settings: numbers of `TwoStageSettings` or `OneStageSettings` other than their defaults.
    Raises:
        UserError: an unknown kind, backbone, option or setting, a number of classes below 1, or a checkpoint that
            does not fit.
    """
    if kind not in KINDS:
        raise UserError(f"detector kind '{kind}' is unknown{nearest(kind, list(KINDS))}; {', '.join(KINDS)} are known")
    check_request(num_classes, checkpoint, backbone_checkpoint)
    chosen = KINDS[kind]
    numbers = build_settings(chosen.settings, settings)
    features = build_backbone(
        backbone, chosen.strides(numbers), freeze_batch_norm, chosen.freeze, backbone_checkpoint, use_ema,
        backbone_options,
    )  # fmt: skip
    detector = chosen.build(features, num_classes, numbers)
    if checkpoint is not None:
        load_dense_weights(detector, checkpoint, use_ema)
    return detector
