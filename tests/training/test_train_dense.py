"""Does the one loop train detectors and segmenters: to the same bits after an interruption, from any data, by name?"""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from conftest import TINY
from data.dense_folders import write_coco
from rapidnet.cli import parse_settings
from rapidnet.config import DenseConfig, OptimizerConfig, TrainConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.evaluation.trained_dense import load_trained_dense
from rapidnet.models.dense import DenseNetwork
from rapidnet.models.factory import read_checkpoint
from rapidnet.training import build_dense, loop
from rapidnet.training.train import run_train
from training.processes import train as train_in_processes

QUIET = Console(quiet=True)
RECIPES = Path(__file__).parents[2] / "recipes"
SMALL: dict[str, dict[str, Any]] = {
    "fcos": {"pyramid_channels": 16},
    "mask_rcnn": {"pyramid_channels": 16, "box_width": 32, "mask_channels": 16, "anchor_scale": 4.0},
    "semantic_fpn": {"pyramid_channels": 16, "head_channels": 16},
}
TASKS = {"detect": "fcos", "instance": "mask_rcnn", "semantic": "semantic_fpn"}


def dense_config(task: str, output: Path, data: str = "builtin", **options: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "data": data, "task": task, "output": str(output), "model_options": {**TINY, "drop_path_rate": 0.2},
        "epochs": 2, "image_size": 64, "batch_size": 4, "precision": "32-true", "ema_decay": 0.9,
        "optimizer": OptimizerConfig(lr=5e-3, warmup_epochs=0.5),
        "dense": DenseConfig(options=SMALL[TASKS.get(task, "fcos")]),
        "limit_data": 12,
    }  # fmt: skip
    return TrainConfig(**(settings | options))


def same(first: Path, second: Path) -> bool:
    one, two = (load_file(folder / "last.safetensors") for folder in (first, second))
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("task", ["detect", pytest.param("instance", marks=pytest.mark.slow), "semantic"])
def test_an_interrupted_run_continues_to_the_same_bits(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_train(dense_config(task, tmp_path / "whole", results=str(tmp_path / "rows.jsonl")), QUIET) == 0
    original, count = loop.train_batch, 0

    def train_batch(*args: Any) -> None:
        nonlocal count
        original(*args)
        count += 1
        if count == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_batch", train_batch)
        assert run_train(dense_config(task, tmp_path / "cut"), QUIET) == 130
    assert not same(tmp_path / "whole", tmp_path / "cut")
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert row["task"] == task and row["images"] == 12
    trained = load_trained_dense(tmp_path / "whole")
    assert (trained.task, trained.network.head, trained.path.name) == (task, TASKS[task], "best.safetensors")
    with pytest.raises(UserError, match=f"is of --task {task}"):
        load_trained(tmp_path / "whole")


def write_shapes(root: Path, count: int = 6) -> Path:
    """A segmentation folder: bright rectangles (class 'thing') on noise, each picture of its own size."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for n in range(count):
            height, width = 50 + 7 * n, 70 + 3 * n
            pixels = rng.integers(0, 80, (height, width, 3), dtype=np.uint8)
            mask = np.zeros((height, width), np.uint8)
            mask[10:40, 10 : 30 + n], mask[:5] = 1, 255
            pixels[mask == 1] += 150
            Image.fromarray(pixels).save(root / "images" / split / f"{n}.png")
            Image.fromarray(mask).save(root / "masks" / split / f"{n}.png")
    (root / "classes.txt").write_text("ground\nthing\n")
    return root


def test_pictures_of_all_sizes_train_a_segmenter_and_a_wrong_mask_follows_the_policy(tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "shapes")
    learned = {"epochs": 40, "evaluate_every": 40, "limit_data": 0, "ema_decay": 0.0}
    run_train(dense_config("semantic", tmp_path / "run", str(data), **learned), QUIET)
    row = read_rows(tmp_path / "run" / "metrics.jsonl")[-1]
    assert row["val_miou"] > 70 and row["train_pixel_accuracy"] > 80
    Image.fromarray(np.full((50, 70), 7, np.uint8)).save(data / "masks" / "train" / "0.png")
    with pytest.raises(UserError, match=r"mask class.*0\.png"):
        run_train(dense_config("semantic", tmp_path / "refused", str(data)), QUIET)
    assert not (tmp_path / "refused").exists()
    config = dense_config("semantic", tmp_path / "skipped", str(data), bad_samples="quarantine", epochs=1)
    assert run_train(config, QUIET) == 0
    assert read_rows(tmp_path / "skipped" / "metrics.jsonl")[0]["bad_samples"] == 1
    assert "0.png" in (tmp_path / "skipped" / "quarantine.txt").read_text()


def test_a_classifiers_run_starts_the_backbone_and_a_detectors_run_the_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = TrainConfig(
        data="builtin", model_options={**TINY, "drop_path_rate": 0.2}, image_size=32, batch_size=4, epochs=1,
        limit_data=8, output=str(tmp_path / "names"), precision="32-true",
    )  # fmt: skip
    run_train(classifier, QUIET)
    start = Console(width=300)
    run_train(dense_config("detect", tmp_path / "boxes", init=str(tmp_path / "names"), steps=1), start)
    assert "the backbone's weights from" in capsys.readouterr().out
    run_train(dense_config("detect", tmp_path / "again", init=str(tmp_path / "boxes"), steps=1), start)
    assert "weights from" in capsys.readouterr().out
    run_train(dense_config("semantic", tmp_path / "pixels", init=str(tmp_path / "boxes"), steps=1), start)
    assert "the backbone's weights from" in capsys.readouterr().out
    other = dense_config(
        "detect",
        tmp_path / "other",
        init=str(tmp_path / "boxes"),
        model_options={**TINY, "head_width": 8, "depths": [2, 1, 1, 1]},
    )
    with pytest.raises(UserError, match="of another"):
        run_train(other, QUIET)


def test_batch_norm_is_frozen_only_where_it_was_trained(tmp_path: Path) -> None:
    config = dense_config("instance", tmp_path / "run")
    parts = build_dense.build_dense_parts(config, None, QUIET, from_init=True)
    assert not parts.network.backbone.features.freeze_batch_norm  # type: ignore[union-attr]
    assert parts.metadata["freeze_batch_norm"] is False
    config.init = str(tmp_path / "trained")
    frozen = DenseConfig(freeze_batch_norm=True, options=SMALL["mask_rcnn"])
    asked = dense_config("instance", tmp_path / "run", dense=frozen)
    assert build_dense.build_dense_parts(asked, None, QUIET, from_init=True).metadata["freeze_batch_norm"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dense": DenseConfig(head="mask_rcnn")}, "dense.head mask_rcnn is not for --task detect"),
        ({"dense": DenseConfig(photometric=True)}, "dense.photometric has no effect on --task detect"),
        ({"dense": DenseConfig(scale=(0.5, 2.0))}, "dense.scale has no effect on --data builtin"),
        ({"labels": "labels.csv"}, "labels has no effect on"),
        ({"task": "classify", "dense": DenseConfig(long_side=99)}, "dense.long_side has no effect on --task classify"),
        ({"data": "somewhere", "dense": DenseConfig(long_side=40)}, "dense.long_side is 40, below image_size 64"),
    ],
)
def test_what_has_no_effect_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        dense_config(**({"task": "detect", "output": tmp_path / "run", "limit_data": 0} | options))


def test_unknown_settings_of_a_head_are_refused_by_name(tmp_path: Path) -> None:
    for options, message in (({"pyramid_chanels": 8}, "pyramid_channels"), ({"min_size": 99}, "set these")):
        with pytest.raises(UserError, match=message):
            run_train(dense_config("detect", tmp_path / "run", dense=DenseConfig(options=options)), QUIET)
    with pytest.raises(UserError, match=r"dense\.options do not fit semantic_fpn"):
        run_train(dense_config("semantic", tmp_path / "run", dense=DenseConfig(options={"width": 8})), QUIET)


@pytest.mark.parametrize("variant", ["m", "b"])
def test_the_papers_recipes_say_what_the_facts_say(variant: str) -> None:
    config: Any = parse_settings("train", ["--config", f"{RECIPES}/coco_mask_rcnn_{variant}.yaml", "--data", "x"])
    optimizer, dense = config.optimizer, config.dense
    assert (config.task, config.model, config.epochs) == ("instance", f"rapidnet_{variant}", 12)
    assert (config.image_size, dense.long_side, config.augment.hflip) == (800, 1333, 0.5)
    assert (optimizer.name, optimizer.lr, optimizer.lr_batch, optimizer.weight_decay) == ("adamw", 2e-4, 16, 0.05)
    assert (optimizer.schedule, optimizer.milestones, dense.freeze_batch_norm) == ("step", [8, 11], True)
    assert round(optimizer.warmup_epochs * 117_266 / 16) == 500
    assert dense.options == {}, "the settings' defaults are the paper's, see test_detection.py"
    config = parse_settings("train", ["--config", f"{RECIPES}/ade20k_semantic_fpn_{variant}.yaml", "--data", "x"])
    optimizer, dense = config.optimizer, config.dense
    assert (config.task, config.model, config.steps, config.batch_size) == (
        "semantic", f"rapidnet_{variant}", 40_000, 32,
    )  # fmt: skip
    assert config.epochs * (20_210 // 32) >= config.steps > (config.epochs - 1) * (20_210 // 32)
    assert (optimizer.name, optimizer.lr, optimizer.lr_batch, optimizer.weight_decay) == ("adamw", 2e-4, 32, 1e-4)
    assert (optimizer.schedule, optimizer.power, optimizer.min_lr, optimizer.warmup_epochs) == ("poly", 0.9, 0, 0)
    assert (config.image_size, dense.long_side, dense.scale, dense.crop) == (512, 2048, (0.5, 2.0), (512, 512))
    assert (dense.cat_max_ratio, dense.photometric, config.augment.hflip, dense.options) == (0.75, True, 0.5, {})


@pytest.mark.slow
def test_the_papers_recipes_preview_on_small_data(finished_run: Path, tmp_path: Path) -> None:
    """Every part of them, with a smaller network and smaller pictures, from a classifier's run."""
    write_coco(tmp_path / "coco")
    write_shapes(tmp_path / "shapes")
    smaller = [
        "--init", str(finished_run), "--steps", "2", "--limit-data", "4", "--image-size", "64", "--batch-size", "2",
        "--precision", "32-true", "--model-options", str(TINY | {"drop_path_rate": 0.1}),
    ]  # fmt: skip
    for recipe, data, options in (
        ("coco_mask_rcnn_m", "coco", ["--dense.long_side", "107"]),
        ("ade20k_semantic_fpn_m", "shapes", ["--dense.long_side", "256", "--dense.crop", "[64, 64]"]),
    ):
        arguments = ["--config", f"{RECIPES}/{recipe}.yaml", "--data", str(tmp_path / data), *smaller, *options]
        config = parse_settings("train", [*arguments, "--output", str(tmp_path / recipe)])
        assert run_train(config, QUIET) == 0
        progress = read_checkpoint(tmp_path / recipe / "last.safetensors").metadata["progress"]
        assert progress["updates"] == 2 and progress["done"]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_two_processes_train_together(task: str, tmp_path: Path) -> None:
    assert train_in_processes(dense_config(task, tmp_path / "run"), 2) == [0, 0]
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2] and load_trained_dense(tmp_path / "run").task == task


@pytest.mark.parametrize(("task", "head"), [("detect", "fcos"), ("instance", "mask_rcnn")])
def test_the_sizes_that_augmentation_draws_reach_the_network(task: str, head: str) -> None:
    network: Any = DenseNetwork(task, head, "rapidnet_ti", 3, 64, 96, SMALL[head], dict(TINY)).build().train()  # type: ignore[arg-type]
    seen: list[tuple[int, ...]] = []
    network.backbone.register_forward_hook(lambda module, inputs, output: seen.append(tuple(inputs[0].shape[2:])))
    target = {
        "boxes": torch.tensor([[4.0, 4, 30, 30]]), "labels": torch.tensor([1]),
        "masks": torch.ones(1, 128, 160, dtype=torch.bool),
    }  # fmt: skip
    network([torch.rand(3, 128, 160)], [target])
    network.transform.keep_training_sizes = False
    network([torch.rand(3, 128, 160)], [target])
    assert seen == [(128, 160), (64, 96)], "drawn sizes are kept; torchvision's resizing would have undone them"
