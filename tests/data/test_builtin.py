"""Are the built-in scenes deterministic, split honestly, and are their boxes and masks exact?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rapidnet.config import BuiltinConfig
from rapidnet.data import builtin
from rapidnet.data.builtin import PHOTOGRAPHS, BuiltinScenes, load_digits_of, load_photographs, tight_box
from rapidnet.data.builtin_folder import run_builtin
from rapidnet.data.folder import open_splits
from rapidnet.errors import UserError


def test_the_same_key_gives_the_same_pixels() -> None:
    first, again = BuiltinScenes("train", 40, 64, seed=1), BuiltinScenes("train", 40, 64, seed=1)
    other = BuiltinScenes("train", 40, 64, seed=2)
    image, label = first[(3, 17)]
    assert image.shape == (3, 64, 64)
    assert image.dtype == torch.uint8
    assert label == 7
    assert torch.equal(image, again[(3, 17)][0])
    assert not torch.equal(image, other[(3, 17)][0])
    assert not torch.equal(image, first[(4, 17)][0]), "training scenes are fresh in every epoch"


def test_validation_is_fixed() -> None:
    first, other = BuiltinScenes("val", 20, 48, seed=1), BuiltinScenes("val", 20, 48, seed=2)
    assert torch.equal(first[(0, 5)][0], other[(9, 5)][0])
    assert torch.equal(first[5][0], first[(4, 5)][0])


def test_digits_and_photographs_are_disjoint() -> None:
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["val"])
    counts = {split: [len(samples) for samples in load_digits_of(split)] for split in ("train", "val")}
    assert sum(counts["train"]) + sum(counts["val"]) == 1797
    assert all(0.18 < val / (val + train) < 0.23 for train, val in zip(counts["train"], counts["val"], strict=True))
    pixels = {split: {p.tobytes() for s in load_digits_of(split) for p in s} for split in ("train", "val")}
    assert not pixels["train"] & pixels["val"]
    assert all(len(load_photographs(split)) == len(PHOTOGRAPHS[split]) for split in ("train", "val"))


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_are_tight_and_inside(split: str) -> None:
    scenes = BuiltinScenes(split, 200, 64)
    heights = []
    for index in range(200):
        scene = scenes.scene(index)
        left, top, right, bottom = scene.boxes[0].astype(int)
        mask = scene.masks[0]
        assert mask[top:bottom, left:right].sum() == mask.sum() > 40
        assert mask[top, left:right].any()
        assert mask[bottom - 1, left:right].any()
        assert mask[top:bottom, left].any()
        assert mask[top:bottom, right - 1].any()
        heights.append((bottom - top) / 64)
    assert 0.3 < min(heights) < 0.55
    assert 0.75 < max(heights) <= 1.0


def test_a_digit_stands_out_from_what_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = BuiltinScenes("val", 100, 64)
    weights = np.array([0.299, 0.587, 0.114])
    behind = []
    original = builtin.compose

    def spy(background: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        behind.append(float((background @ weights * alpha).sum() / alpha.sum()))
        return original(background, alpha, rng)

    monkeypatch.setattr(builtin, "compose", spy)
    for index in range(100):
        scene = scenes.scene(index)
        ink = float((scene.image[scene.masks[0]] / 255 @ weights).mean())
        assert abs(ink - behind[-1]) > 0.15, index


def test_tight_box() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:6] = True
    assert tight_box(mask).tolist() == [2, 1, 6, 3]


def test_outside_the_set_is_an_error() -> None:
    with pytest.raises(IndexError):
        BuiltinScenes("val", 3, 32).scene(3)


def test_written_folder_holds_the_same_scenes_boxes_and_masks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = BuiltinConfig(str(tmp_path / "out"), 48, 30, 20)
    assert run_builtin(config) == 0
    train, val = open_splits(tmp_path / "out", 0.1, 0)
    assert (len(train.samples), len(val.samples), train.classes) == (30, 20, list("0123456789"))
    coco = json.loads((tmp_path / "out" / "annotations" / "val.json").read_text())
    scenes = BuiltinScenes("val", 20, 48)
    for image, annotation in zip(coco["images"], coco["annotations"], strict=True):
        scene = scenes.scene(image["id"])
        with Image.open(tmp_path / "out" / image["file_name"]) as file:
            assert np.array_equal(np.asarray(file), scene.image)
        left, top, width, height = annotation["bbox"]
        assert [left, top, left + width, top + height] == scene.boxes[0].tolist()
        counts = annotation["segmentation"]["counts"]
        runs = np.repeat(np.arange(len(counts)) % 2, counts).astype(bool)
        assert np.array_equal(runs.reshape(48, 48, order="F"), scene.masks[0])
        with Image.open(tmp_path / "out" / "masks" / "val" / f"{image['id']:06d}.png") as file:
            assert np.array_equal(np.asarray(file), scene.masks[0] * (scene.labels[0] + 1))
    with pytest.raises(UserError, match="not empty"):
        run_builtin(config)
