"""Detectors and segmenters small enough for a test, and what to feed them."""

from typing import Any

import torch
from torch import Tensor, nn

from conftest import TINY
from rapidnet.models import create_detector, create_segmenter

TWO_STAGE: dict[str, Any] = {
    "min_size": 64, "max_size": 96, "pyramid_channels": 8, "box_width": 16, "mask_channels": 8, "mask_convs": 1,
}  # fmt: skip
ONE_STAGE: dict[str, Any] = {"min_size": 64, "max_size": 96, "pyramid_channels": 8}


def small_detector(kind: str = "mask_rcnn", num_classes: int = 3, **options: Any) -> nn.Module:
    """On a RapidNet of eight channels a stage; its images get sides of 64 to 96 pixels."""
    torch.manual_seed(0)
    settings = ONE_STAGE if kind == "fcos" else TWO_STAGE
    return create_detector("rapidnet_ti", num_classes, kind, **{"backbone_options": TINY, **settings, **options})


def small_segmenter(num_classes: int = 3, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    narrow: dict[str, Any] = {"pyramid_channels": 8, "head_channels": 8, "backbone_options": TINY}
    return create_segmenter("rapidnet_ti", num_classes, **(narrow | options))


def two_scenes() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Two images of different sizes: two bright rectangles on noise, and noise without any."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 64, 80, generator=generator) * 0.3, torch.rand(3, 64, 64, generator=generator) * 0.3]
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [36.0, 20.0, 76.0, 60.0]])
    masks = torch.zeros(2, 64, 80, dtype=torch.uint8)
    for mask, (left, top, right, bottom), color in zip(masks, boxes.int().tolist(), (0, 2), strict=True):
        mask[top:bottom, left:right] = 1
        images[0][color, top:bottom, left:right] = 1.0
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return images, [
        {"boxes": boxes, "labels": torch.tensor([0, 2]), "masks": masks},
        {**none, "masks": torch.zeros(0, 64, 64, dtype=torch.uint8)},
    ]
