"""Are scenes with several digits deterministic, split honestly, and are their boxes and masks exact?"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from rapidnet.data import builtin, builtin_objects
from rapidnet.data.builtin import CLASSES
from rapidnet.data.builtin_objects import MAX_HIDDEN, SEMANTIC_CLASSES, BuiltinObjects


def test_the_same_key_gives_the_same_scene() -> None:
    first, again, other = (BuiltinObjects("train", 40, 96, "instance", seed) for seed in (1, 1, 2))
    image, targets = first.load(17, 3)
    assert image.shape == (3, 96, 96) and image.dtype == torch.uint8
    assert torch.equal(image, again.load(17, 3)[0]) and torch.equal(targets["masks"], again.load(17, 3)[1]["masks"])
    assert not torch.equal(image, other.load(17, 3)[0]) and not torch.equal(image, first.load(17, 4)[0])


def test_validation_is_fixed() -> None:
    first, other = (BuiltinObjects("val", 20, 96, "semantic", seed) for seed in (1, 2))
    assert torch.equal(first.load(5, 0)[0], other.load(5, 9)[0])
    assert torch.equal(first.load(5, 3)[1]["semantic"], first.targets(5)["semantic"])
    with pytest.raises(IndexError):
        first.load(20)


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_masks_and_classes_agree(split: str) -> None:
    instances = BuiltinObjects(split, 120, 96, "instance")  # type: ignore[arg-type]
    semantic = BuiltinObjects(split, 120, 96, "semantic")  # type: ignore[arg-type]
    assert instances.classes == CLASSES and semantic.classes == SEMANTIC_CLASSES == ["background", *CLASSES]
    counts, heights, labels = [], [], []
    for index in range(120):
        targets, pixels = instances.targets(index), semantic.targets(index)["semantic"]
        counts.append(len(targets["labels"]))
        labels += targets["labels"].tolist()
        assert targets["masks"].sum(0).max() <= 1, "a pixel belongs to the digit on top"
        expected = torch.zeros(96, 96, dtype=torch.uint8)
        for box, label, mask, area in zip(
            targets["boxes"], targets["labels"], targets["masks"], targets["area"], strict=True
        ):
            left, top, right, bottom = box.int().tolist()
            assert mask[top:bottom, left:right].sum() == mask.sum() == area > 15
            assert mask[top, left:right].any() and mask[bottom - 1, left:right].any()
            assert mask[top:bottom, left].any() and mask[top:bottom, right - 1].any()
            expected[mask] = label + 1
            heights.append((bottom - top) / 96)
        assert torch.equal(pixels, expected)
    assert set(counts) == set(range(6)) and set(labels) == set(range(10))
    assert 0.06 < min(heights) < 0.2 and 0.35 < max(heights) < 0.6


def test_no_digit_is_hidden_by_more_than_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = BuiltinObjects("val", 150, 96, "instance")
    drawn: list[np.ndarray] = []

    def spy(background: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn.append(alpha > 0.5)
        return builtin.lay_over(background, alpha, rng)

    monkeypatch.setattr(builtin_objects, "lay_over", spy)
    hidden = []
    for index in range(150):
        drawn.clear()
        scene = scenes.scene(index)
        hidden += [1 - mask.sum() / whole.sum() for mask, whole in zip(scene.masks, drawn, strict=True)]
    assert max(hidden) <= MAX_HIDDEN and sum(share > 0 for share in hidden) > 10


def test_training_and_validation_share_no_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def spy(function: Callable) -> Callable:
        return lambda split, *rest: asked.append(split) or function(split, *rest)

    monkeypatch.setattr(builtin_objects, "load_digits_of", spy(builtin.load_digits_of))
    monkeypatch.setattr(builtin_objects, "draw_scenery", spy(builtin.draw_scenery))
    for split in ("train", "val"):
        asked.clear()
        BuiltinObjects(split, 3, 64, "detect").load(1)  # type: ignore[arg-type]
        assert asked == [split] * 2
