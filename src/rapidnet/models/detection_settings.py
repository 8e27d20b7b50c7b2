"""Which numbers make a detector? The defaults are the paper's Mask R-CNN, and ours for the one-stage detector.

IoU: intersection over union, 0 to 1. Lengths are pixels of the resized image.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from rapidnet.errors import UserError, nearest

Four = tuple[float, float, float, float]
SHARES = ("_iou", "_fraction", "_threshold")
"""How the names of settings from 0 to 1 end; all but those in FREE are above 0."""
FREE = ("sampling_ratio", "depthwise")
SettingsT = TypeVar("SettingsT", "TwoStageSettings", "OneStageSettings")


@dataclass(frozen=True)
class TwoStageSettings:
    """Mask R-CNN and Faster R-CNN as the released detectors were trained: the configuration of mmdetection 2.28.

    min_size, max_size, size_divisor: the short side becomes min_size unless the long one would pass max_size; a
        batch is padded to a multiple of size_divisor.
    strides, anchor_scale, anchor_ratios: of the pyramid's levels (the last one is pooled from the one before); an
        anchor covers (anchor_scale x stride)^2 pixels, at each ratio of height to width.
    rpn_*: an anchor is positive from rpn_positive_iou on, negative below rpn_negative_iou; the best anchors of an
        object are positive from rpn_best_iou on. Of each image, rpn_samples anchors are trained on, at most
        rpn_positive_fraction of them positive.
    proposals_*: kept of each level before suppression, and of each image after it.
    roi_*: the same for proposals; roi_best_iou gives an object its best proposals from that IoU on even where they
        overlap another more (mmdetection's mask_rcnn configuration says 0.5, its faster_rcnn one None).
    rpn_box_stds, roi_box_stds: what differences of boxes (x, y, width, height) are divided by.
    box_pool, mask_pool, sampling_ratio: cells along a side of RoIAlign, and samples in a cell (0: one a pixel).
        Masks have 2 x mask_pool cells along a side.
    box_width, mask_channels, mask_convs: of the heads.
    score_threshold, nms_iou, detections: what is answered, at most `detections` an image.
    """

    min_size: int = 800
    max_size: int = 1333
    size_divisor: int = 32
    pyramid_channels: int = 256
    strides: tuple[int, ...] = (4, 8, 16, 32, 64)
    anchor_scale: float = 8.0
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    rpn_positive_iou: float = 0.7
    rpn_negative_iou: float = 0.3
    rpn_best_iou: float = 0.3
    rpn_samples: int = 256
    rpn_positive_fraction: float = 0.5
    rpn_box_stds: Four = (1.0, 1.0, 1.0, 1.0)
    rpn_nms_iou: float = 0.7
    proposals_per_level_training: int = 2000
    proposals_per_level_test: int = 1000
    proposals_training: int = 1000
    proposals_test: int = 1000
    roi_positive_iou: float = 0.5
    roi_negative_iou: float = 0.5
    roi_best_iou: float | None = None
    roi_samples: int = 512
    roi_positive_fraction: float = 0.25
    roi_box_stds: Four = (0.1, 0.1, 0.2, 0.2)
    box_pool: int = 7
    mask_pool: int = 14
    sampling_ratio: int = 0
    box_width: int = 1024
    mask_channels: int = 256
    mask_convs: int = 4
    score_threshold: float = 0.05
    nms_iou: float = 0.5
    detections: int = 100


@dataclass(frozen=True)
class OneStageSettings:
    """FCOS (Tian et al., ICCV 2019) for a phone: three levels, a light pyramid, depthwise heads.

    min_size, max_size, size_divisor, score_threshold, nms_iou, detections: as in `TwoStageSettings`.
    strides: of the pyramid's levels. A level takes objects that reach 4 to 8 strides from a point, the first smaller
        ones, too, and the last larger ones.
    pyramid_channels, head_convs: width of the pyramid and the heads; 3x3 layers of each head.
    depthwise: a head's 3x3 layers are depthwise with a 1x1 behind them.
    center_radius: points up to so many strides from an object's centre are positive.
    candidates: the best boxes of each level that suppression looks at.
    """

    min_size: int = 320
    max_size: int = 320
    size_divisor: int = 32
    pyramid_channels: int = 96
    strides: tuple[int, ...] = (8, 16, 32)
    head_convs: int = 2
    depthwise: bool = True
    center_radius: float = 1.5
    score_threshold: float = 0.05
    nms_iou: float = 0.6
    candidates: int = 1000
    detections: int = 100


def build_settings(kind: type[SettingsT], options: dict[str, Any]) -> SettingsT:
    """The defaults with some values of one's own.

    Raises:
        UserError: no such setting, one that is not for this kind of detector, or a value no detector can have.
    """
    known = [field.name for field in fields(kind)]
    for name in options:
        if name not in known:
            raise UserError(f"detector setting '{name}' is unknown{nearest(name, known)}")
    settings = kind(**options)
    for name in options:
        value = getattr(settings, name)
        if name.endswith(SHARES):
            if value is not None and not 0 <= value <= 1:
                raise UserError(f"detector setting {name} is {value}; it must be from 0 to 1")
        elif name not in FREE and not all(part > 0 for part in (value if isinstance(value, tuple) else (value,))):
            raise UserError(f"detector setting {name} is {value}; it must be above 0")
    if settings.min_size > settings.max_size:
        raise UserError(
            f"detector setting min_size {settings.min_size} is above max_size {settings.max_size}; "
            "the short side cannot be longer than the long one"
        )
    return settings
