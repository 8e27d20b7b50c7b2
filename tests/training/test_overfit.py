"""Can the detector and the segmenter learn eight real pictures by heart? Slow, and only where the data is at hand."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rapidnet.config import AugmentConfig, DenseConfig, OptimizerConfig, TrainConfig
from rapidnet.environment import read_rows
from rapidnet.training.train import run_train

DATA = Path(os.environ.get("RAPIDNET_TEST_DATA", ""))
COMMON: dict[str, Any] = {
    "model_options": {"layer_scale_init": 1e-5}, "ema_decay": 0.0, "batch_size": 4, "evaluate_every": 1000,
    "augment": AugmentConfig(hflip=0.0), "seed": 0,
}  # fmt: skip
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not (DATA / "coco480").is_dir(), reason="RAPIDNET_TEST_DATA names no folder with coco480"),
]


def choose_coco(root: Path) -> Path:
    """The first eight training pictures without crowds, with at most six objects, none of them small (COCO's word);
    the same for training and validation."""
    content = json.loads((DATA / "coco480" / "annotations" / "instances_train2017.json").read_text())
    objects: dict[int, list[dict[str, Any]]] = {}
    for row in content["annotations"]:
        objects.setdefault(row["image_id"], []).append(row)
    pictures = [
        picture
        for picture in sorted(content["images"], key=lambda picture: int(picture["id"]))
        if (found := objects.get(picture["id"]))
        and len(found) <= 6
        and all(row["area"] >= 32**2 and not row["iscrowd"] for row in found)
    ][:8]
    chosen = {picture["id"] for picture in pictures}
    annotations = [row for row in content["annotations"] if row["image_id"] in chosen]
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (root / f"{split}2017").mkdir()
        for picture in pictures:
            shutil.copy(DATA / "coco480" / "train2017" / picture["file_name"], root / f"{split}2017")
        rows = json.dumps({**content, "images": pictures, "annotations": annotations})
        (root / "annotations" / f"instances_{split}2017.json").write_text(rows)
    return root


def choose_camvid(root: Path) -> Path:
    """Every 23rd training picture, for training and validation."""
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
            for path in sorted((DATA / "camvid" / kind / "train").iterdir())[::23][:8]:
                shutil.copy(path, root / kind / split)
    shutil.copy(DATA / "camvid" / "classes.json", root)
    return root


def test_mask_rcnn_learns_eight_coco_pictures_by_heart(tmp_path: Path) -> None:
    narrow = {
        "pyramid_channels": 128, "box_width": 512, "mask_channels": 128, "roi_samples": 128,
        "proposals_training": 300, "proposals_test": 300,
    }  # fmt: skip
    config = TrainConfig(
        data=str(choose_coco(tmp_path / "coco")), task="instance", output=str(tmp_path / "run"), image_size=256,
        epochs=100, optimizer=OptimizerConfig(name="muon", lr=2e-3), dense=DenseConfig(options=narrow, long_side=384),
        results=str(tmp_path / "rows.jsonl"), **COMMON,
    )  # fmt: skip
    assert run_train(config, Console(quiet=True)) == 0
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert row["images"] == 8 and row["box_ap"] >= 90 and row["mask_ap"] >= 90, row


def test_semantic_fpn_learns_eight_camvid_pictures_by_heart(tmp_path: Path) -> None:
    dense = DenseConfig(
        options={"drop_rate": 0.0, "pyramid_channels": 128, "head_channels": 64}, scale=(1.0, 1.0), crop=(288, 384),
        cat_max_ratio=1.0, photometric=False,
    )  # fmt: skip
    config = TrainConfig(
        data=str(choose_camvid(tmp_path / "camvid")), task="semantic", output=str(tmp_path / "run"), image_size=288,
        epochs=150, optimizer=OptimizerConfig(name="muon", lr=3e-3), dense=dense,
        results=str(tmp_path / "rows.jsonl"), **COMMON,
    )  # fmt: skip
    assert run_train(config, Console(quiet=True)) == 0
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert row["images"] == 8 and row["miou"] >= 90, row
