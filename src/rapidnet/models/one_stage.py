"""What is the one-stage detector, the one that is exported whole?

torchvision's FCOS (matching, losses, answers) on a light pyramid, with heads for a phone: FCOS has one anchor point a
pixel and its boxes are distances from it, so that no exponential and no table of anchors has to be deployed, and
ReLU and sigmoid are its only other functions. Source: Tian et al., FCOS, ICCV 2019.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.models.detection.fcos import FCOS, FCOSHead

from rapidnet.models.detection_overrides import RoundedTransform, StrideAnchors
from rapidnet.models.detection_settings import OneStageSettings
from rapidnet.models.features import FeatureBackbone, PyramidBackbone

PRIOR = 0.01
"""The probability of an object that an untrained head gives (Lin et al., Focal Loss, ICCV 2017: Sec. 4.1)."""


class LevelConvNorm(nn.Module):
    """One convolution for all levels, a BatchNorm for each, ReLU: [B, in_chs, H, W] a level -> [B, out_chs, H, W].

    Levels differ in their statistics, and one BatchNorm would answer with a mixture that it was never trained with.
    Source: Lyu et al., RTMDet, arXiv 2212.07784.
    Folding gives each level a convolution of its own in place of its norm.
    """

    def __init__(self, levels: int, in_chs: int, out_chs: int, kernel_size: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(
            in_chs, out_chs, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(out_chs) for _ in range(levels))
        self.act = nn.ReLU()

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [self.act(norm(self.conv(x))) for norm, x in zip(self.norms, features, strict=True)]


class MobileHead(FCOSHead):
    """FCOS's head with `LevelConvNorm` towers; torchvision's losses.

    A list of [B, channels, H, W], one a level -> cls_logits [B, A, num_classes], bbox_regression [B, A, 4] in strides,
    bbox_ctrness [B, A, 1]; A: all levels' pixels, rows first.
    """

    def __init__(self, num_classes: int, settings: OneStageSettings) -> None:
        nn.Module.__init__(self)  # FCOSHead would build its own towers
        self.box_coder = BoxLinearCoder(normalize_by_size=True)
        channels = settings.pyramid_channels
        self.class_tower, self.box_tower = build_tower(settings), build_tower(settings)
        self.cls_logits = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.bbox_reg = nn.Conv2d(channels, 4, 3, padding=1)
        self.bbox_ctrness = nn.Conv2d(channels, 1, 3, padding=1)
        first = ((self.cls_logits, -math.log((1 - PRIOR) / PRIOR)), (self.bbox_reg, 0.0), (self.bbox_ctrness, 0.0))
        for layer, bias in first:
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias = nn.Parameter(torch.full((layer.out_channels,), bias))

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        classes, boxes = self.class_tower(x), self.box_tower(x)
        return {
            "cls_logits": join_levels([self.cls_logits(level) for level in classes]),
            "bbox_regression": join_levels([self.bbox_reg(level).relu() for level in boxes]),
            "bbox_ctrness": join_levels([self.bbox_ctrness(level) for level in boxes]),
        }


def build_tower(settings: OneStageSettings) -> nn.Sequential:
    """The 3x3 layers of a head, depthwise ones with a 1x1 behind each."""
    channels = settings.pyramid_channels
    build = partial(LevelConvNorm, len(settings.strides), channels, channels)
    layers: list[nn.Module] = []
    for _ in range(settings.head_convs):
        layers += [build(3, groups=channels), build()] if settings.depthwise else [build(3)]
    return nn.Sequential(*layers)


def join_levels(levels: list[Tensor]) -> Tensor:
    """[B, C, H, W] a level -> [B, all pixels, C], float32 where the network computes in half precision."""
    joined = torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)
    return joined.float() if joined.dtype in (torch.bfloat16, torch.float16) else joined


class OneStageDetector(FCOS):
    """Images [3, H, W] in [0, 1], of any sizes, in a list; what goes in and comes out is as in `TwoStageDetector`.

    There are no masks. Losses: classification, bbox_regression, bbox_ctrness.
    """

    def __init__(
        self, backbone: FeatureBackbone, num_classes: int,
        settings: OneStageSettings = OneStageSettings(),  # noqa: B008  frozen
    ) -> None:  # fmt: skip
        pyramid = PyramidBackbone(backbone, settings.pyramid_channels, norm_layer=nn.BatchNorm2d)
        super().__init__(
            pyramid,
            num_classes,
            anchor_generator=StrideAnchors(settings.strides, 1.0, (1.0,)),
            head=MobileHead(num_classes, settings),
            center_sampling_radius=settings.center_radius,
            score_thresh=settings.score_threshold,
            nms_thresh=settings.nms_iou,
            detections_per_img=settings.detections,
            topk_candidates=settings.candidates,
        )
        self.transform: Any = RoundedTransform(
            settings.min_size, settings.max_size, list(backbone.mean), list(backbone.std), settings.size_divisor
        )
        self.num_classes, self.settings = num_classes, settings
