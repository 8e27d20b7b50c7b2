"""Does a picture become an artifact's input as it was validated, and the answer one in its own pixels?"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.runtimes import pictures
from rapidnet.runtimes.pictures import answer_logits, answer_points, answer_slots, place_picture
from rapidnet.runtimes.resample import paste_masks

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)
PAD: dict[str, Any] = {
    "height": 96, "width": 96, "fit": "pad", "short_side": 64, "long_side": 96, "fill": [128, 102, 76],
}  # fmt: skip


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 120, 3), dtype=np.uint8)


def test_a_picture_is_placed_as_it_was_validated(picture: np.ndarray, tmp_path: Path) -> None:
    rule = DensePreprocessing(64, 96, MEAN, STD, align=False)
    expected, _ = rule.transform(torch.from_numpy(picture).permute(2, 0, 1), {})
    placed = place_picture(picture, PAD)
    assert placed.inside == (40, 96) and placed.size == (50, 120) and placed.pixels.shape == (3, 96, 96)
    assert np.array_equal(placed.pixels[:, :40], expected.numpy())
    assert (placed.pixels[:, 40:] == np.array(rule.fill)[:, None, None]).all()
    # From a file or as an image it is the same.
    Image.fromarray(picture).save(tmp_path / "picture.png")
    for source in (tmp_path / "picture.png", str(tmp_path / "picture.png"), Image.fromarray(picture)):
        assert np.array_equal(place_picture(source, PAD).pixels, placed.pixels)


def test_a_picture_is_stretched_where_pixels_are_classified(picture: np.ndarray) -> None:
    rule = DensePreprocessing(64, 96, MEAN, STD, align=True)
    expected, _ = rule.transform(torch.from_numpy(picture).permute(2, 0, 1), {})
    placed = place_picture(picture, PAD | {"fit": "stretch", "height": 64})
    assert placed.inside == (64, 96) and np.array_equal(placed.pixels, expected.numpy())


def test_boxes_are_clipped_to_the_picture_suppressed_and_enlarged(picture: np.ndarray) -> None:
    placed = place_picture(picture, PAD)
    boxes = np.array([[[8, 8, 24, 90], [8, 8, 24, 89], [40, 4, 200, 20]]], dtype=np.float32)
    scores = np.array([[[0.9, 0.1], [0.8, 0.1], [0.1, 0.7]]], dtype=np.float32)
    rule = {"score_threshold": 0.5, "iou_threshold": 0.6, "candidates": 10, "detections": 10}
    answer = answer_points({"boxes": boxes, "scores": scores}, placed, {"answers": rule})
    assert answer["labels"].tolist() == [0, 1] and np.allclose(answer["scores"], [0.9, 0.7])
    assert np.allclose(answer["boxes"], [[10, 10, 30, 50], [50, 5, 120, 25]])


def test_logits_are_enlarged_before_the_class_is_chosen(picture: np.ndarray) -> None:
    placed = place_picture(picture, PAD | {"fit": "stretch", "height": 64})
    logits = np.random.default_rng(1).normal(size=(1, 4, 64, 96)).astype(np.float32)
    found = answer_logits({"logits": logits}, placed, {})["semantic"]
    enlarged = torch.nn.functional.interpolate(torch.from_numpy(logits), (50, 120), mode="bilinear")[0]
    assert found.dtype == np.uint8 and (found == enlarged.argmax(0).numpy()).mean() > 0.999
    nearest = np.asarray(Image.fromarray(logits[0].argmax(0).astype(np.uint8)).resize((120, 50), 0))
    assert (found != nearest).any()


@pytest.mark.parametrize("values", [1, 700, 1 << 20])
def test_strips_change_no_pixel(values: int, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = place_picture(picture, PAD | {"fit": "stretch", "height": 64})
    logits = np.random.default_rng(1).normal(size=(1, 4, 16, 24)).astype(np.float32)
    whole = answer_logits({"logits": logits}, placed, {})["semantic"]
    monkeypatch.setattr(pictures, "STRIP_VALUES", values)
    assert np.array_equal(answer_logits({"logits": logits}, placed, {})["semantic"], whole)
    # Strips of another picture would be seen.
    assert (answer_logits({"logits": logits[:, :, ::-1]}, placed, {})["semantic"] != whole).any()


def test_masks_pasted_one_by_one_are_the_same(picture: np.ndarray) -> None:
    placed = place_picture(picture, PAD)
    rng = np.random.default_rng(2)
    boxes = np.array([[[8, 8, 24, 30], [0, 0, 90, 39], [40, 4, 80, 20]]], dtype=np.float32)
    outputs = {"boxes": boxes, "scores": np.array([[0.9, 0.8, 0.7]]), "labels": np.array([[1, 2, 3]]),
               "masks": rng.random((1, 3, 14, 14)).astype(np.float32)}  # fmt: skip
    found = answer_slots(outputs, placed, {})
    together = paste_masks(outputs["masks"][0], found["boxes"], placed.size) >= 0.5
    assert found["masks"].dtype == bool and np.array_equal(found["masks"], together) and together.any((1, 2)).all()
