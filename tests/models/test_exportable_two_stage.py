"""Does the graph with as many boxes as there can be find what the detector finds?"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from conftest import randomize
from models.dense import small_detector
from rapidnet.errors import UserError
from rapidnet.models.exportable_two_stage import SlotAnswers

SIZE = (64, 96)


@pytest.fixture(scope="module")
def detector() -> Any:
    """With weights large enough that scores differ, and a threshold that few boxes pass."""
    model: Any = randomize(small_detector("mask_rcnn", score_threshold=0.5, proposals_per_level_test=40))
    with torch.no_grad():
        for layer in (model.roi_heads.box_predictor.cls_score, model.rpn.head.cls_logits):
            layer.weight.mul_(10)
    return model.eval()


def answer(detector: Any, images: Tensor) -> dict[str, Tensor]:
    """What torchvision's own forward finds in normalised images, masks within their boxes."""
    features, listed = detector.backbone(images), ImageList(images, [SIZE])
    proposals, _ = detector.rpn(listed, features)
    (found,), _ = detector.roi_heads(features, proposals, listed.image_sizes)
    return found


@torch.inference_mode()
def test_the_slots_hold_the_detections(detector: Any) -> None:
    network = SlotAnswers(detector, SIZE).eval()
    counts = []
    for seed in range(4):
        images = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed))
        own = answer(detector, images)
        boxes, scores, labels, masks, objectness = (part[0] for part in network(images))
        count = int((scores > 0).sum())
        counts.append(count)
        assert count == len(own["scores"]) and not scores[count:].any() and objectness.ndim == 1
        assert torch.equal(labels[:count], own["labels"] - 1)
        assert torch.allclose(boxes[:count], own["boxes"], atol=1e-3)
        assert torch.allclose(scores[:count], own["scores"], atol=1e-6)
        assert torch.allclose(masks[:count], own["masks"][:, 0], atol=1e-5)
        # Exchanged colours are another image.
        assert not torch.allclose(network(images.flip(1))[4], objectness[None], atol=1e-3)
    assert 0 < max(counts) < 100 and len(set(counts)) > 1, counts


@pytest.mark.parametrize(
    ("kind", "size", "training", "message"),
    [
        ("fcos", SIZE, False, "no two-stage detector"),
        ("mask_rcnn", SIZE, True, "in training mode"),
        ("mask_rcnn", (64, 100), False, "multiples of 32"),
    ],
)
def test_what_cannot_be_exported_is_refused(kind: str, size: tuple[int, int], training: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SlotAnswers(small_detector(kind).train(training), size)
