"""Are detectors made as asked for, with the paper's numbers, and mistakes said in one sentence?"""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models.detection import FCOS, MaskRCNN

import rapidnet
from conftest import TINY
from models.dense import small_detector
from rapidnet.errors import UserError
from rapidnet.models.detection import KINDS
from rapidnet.models.detection_settings import OneStageSettings, TwoStageSettings

DOCS = Path(__file__).parents[2] / "docs" / "detection.md"


def test_the_released_detector_has_the_papers_numbers() -> None:
    with torch.device("meta"):
        detector: Any = rapidnet.create_detector("rapidnet_m", 80)
    rpn, heads, transform = detector.rpn, detector.roi_heads, detector.transform
    assert (transform.min_size, transform.max_size, transform.size_divisible) == ((800,), 1333, 32)
    assert (tuple(transform.image_mean), tuple(transform.image_std)) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert detector.backbone.features.channels == [32, 64, 160, 320] and detector.backbone.out_channels == 256
    assert rpn.anchor_generator.strides == [4, 8, 16, 32, 64]
    assert rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert set(rpn.anchor_generator.aspect_ratios) == {(0.5, 1.0, 2.0)}
    matcher, sampler = rpn.proposal_matcher, rpn.fg_bg_sampler
    assert (matcher.high_threshold, matcher.low_threshold, matcher.best_iou) == (0.7, 0.3, 0.3)
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (256, 0.5)
    kept = [(rpn.train(mode).pre_nms_top_n(), rpn.post_nms_top_n()) for mode in (True, False)]
    assert kept == [(2000, 1000), (1000, 1000)] and rpn.nms_thresh == 0.7
    matcher, sampler = heads.proposal_matcher, heads.fg_bg_sampler
    assert (matcher.high_threshold, matcher.low_threshold, matcher.allow_low_quality_matches) == (0.5, 0.5, False)
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (512, 0.25)
    assert rpn.box_coder.weights == (1, 1, 1, 1) and heads.box_coder.weights == (10, 10, 5, 5)
    for pool, size in ((heads.box_roi_pool, 7), (heads.mask_roi_pool, 14)):
        assert (pool.output_size, pool.sampling_ratio, pool.strides) == ((size, size), 0, [4, 8, 16, 32])
    assert heads.mask_predictor(heads.mask_head(torch.zeros(2, 256, 14, 14, device="meta"))).shape == (2, 81, 28, 28)
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.05, 0.5, 100)
    assert heads.box_predictor.cls_score.weight.shape == (81, 1024)
    assert heads.box_predictor.bbox_pred.weight.shape == (324, 1024)


def test_kinds_differ_in_masks_and_freezing() -> None:
    for kind in KINDS:
        detector: Any = small_detector(kind)
        assert detector.num_classes == 3 and detector.backbone.features.freeze_batch_norm == (kind != "fcos")
        assert (kind != "fcos" and detector.roi_heads.has_mask()) == (kind == "mask_rcnn")
    assert small_detector("fcos", freeze_batch_norm=True).backbone.features.freeze_batch_norm
    assert KINDS["fcos"].build(small_detector("fcos").backbone.features, 7, OneStageSettings()).num_classes == 7


def test_any_timm_network_is_a_backbone() -> None:
    options = {"num_classes": 2, "min_size": 64, "max_size": 64, "pyramid_channels": 8, "box_width": 8}
    detector = rapidnet.create_detector("mobilenetv2_050", kind="faster_rcnn", **options).eval()
    with torch.inference_mode():
        assert set(detector([torch.rand(3, 50, 40)])[0]) == {"boxes", "scores", "labels"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "mask_rcn"}, "did you mean 'mask_rcnn'"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"backbone": "rapidnet_tiny"}, "did you mean 'rapidnet_ti'"),
        ({"rpn_sample": 3}, "did you mean 'rpn_samples'"),
        ({"kind": "fcos", "rpn_samples": 3}, "'rpn_samples' is unknown"),
        ({"nms_iou": 1.5}, "nms_iou is 1.5; it must be from 0 to 1"),
        ({"detections": 0}, "detections is 0; it must be above 0"),
        ({"strides": (4, -8)}, "must be above 0"),
        ({"min_size": 900, "max_size": 800}, "min_size 900 is above max_size 800"),
        ({"kind": "fcos", "strides": (8, 64)}, "8, 64 are needed"),
        ({"checkpoint": "a.pth", "backbone_checkpoint": "b.pth"}, "not both"),
        ({"checkpoint": "a.pth"}, "a.pth does not exist"),
    ],
)
def test_mistakes_are_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        rapidnet.create_detector(**{"backbone": "rapidnet_ti", "num_classes": 2, "backbone_options": TINY, **arguments})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("settings", "theirs"), [(TwoStageSettings, MaskRCNN), (OneStageSettings, FCOS)])
def test_the_table_of_settings_is_right(settings: Any, theirs: Any) -> None:
    """Each row of docs/detection.md: `setting` | paper's or source's | torchvision's `parameter` value | ours."""
    text = DOCS.read_text().split(f"<!-- settings: {settings.__name__} -->")[1].split("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == [field.name for field in fields(settings)]
    defaults = inspect.signature(theirs.__init__).parameters
    for name, _, torchvisions, ours, *_ in rows:
        assert ours == str(getattr(settings(), name.strip("`"))), name
        for parameter, value in re.findall(r"`(\w+)` ([\d.]+)", torchvisions):
            assert str(defaults[parameter].default) == value, parameter
