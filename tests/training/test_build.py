"""Do freezing, layer decay, scaled rates, previews, repeated views and rising sizes do what they say?"""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from conftest import TINY, tiny_config
from rapidnet.cli import parse_settings
from rapidnet.config import AugmentConfig, OptimizerConfig, TrainConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.models import create_model, read_checkpoint
from rapidnet.training import loop
from rapidnet.training.build import scale_lr
from rapidnet.training.optim import build_optimizer
from rapidnet.training.train import run_train

QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[2]


def weights(run: Path) -> dict[str, Tensor]:
    return read_checkpoint(run / "last.safetensors").tensors


def test_frozen_parts_keep_weights_and_statistics(photos: Path, finished_run: Path, tmp_path: Path) -> None:
    start = read_checkpoint(finished_run / "last.safetensors").tensors
    common = {"init": str(finished_run / "last.safetensors"), "epochs": 1, "ema_decay": 0.0}
    run_train(tiny_config(photos, tmp_path / "frozen", freeze=["stem", "stages.0"], **common), QUIET)
    run_train(tiny_config(photos, tmp_path / "free", **common), QUIET)
    frozen, free = weights(tmp_path / "frozen"), weights(tmp_path / "free")
    begun = {key.replace("ema.", "model."): value for key, value in start.items() if key.startswith("ema.")}
    parts = [key for key in frozen if key.startswith(("model.stem.", "model.stages.0."))]
    assert any("running_mean" in key for key in parts)
    assert all(torch.equal(frozen[key], begun[key]) for key in parts)
    assert not all(torch.equal(free[key], begun[key]) for key in parts)
    assert not torch.equal(frozen["model.head.weight"], begun["model.head.weight"])


@pytest.mark.parametrize(("names", "message"), [(["stme"], "did you mean 'stem'"), ([""], "no part ''")])
def test_a_part_the_network_lacks_is_refused(photos: Path, tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_train(tiny_config(photos, tmp_path / "run", freeze=names), QUIET)


def test_freezing_everything_is_refused(photos: Path, tmp_path: Path) -> None:
    everything = ["stem", "stages", "pre_head", "head", "head_dist"]
    with pytest.raises(UserError, match="leaves nothing to train"):
        run_train(tiny_config(photos, tmp_path / "run", freeze=everything), QUIET)


def test_layer_decay_lowers_the_rate_towards_the_stem() -> None:
    model = create_model("rapidnet_ti", **TINY)
    optimizer = build_optimizer(model, OptimizerConfig(lr=1.0, layer_decay=0.5))
    scale = {
        name: group["lr_scale"]
        for group in optimizer.param_groups for name, parameter in model.named_parameters()
        if any(parameter is own for own in group["params"])
    }  # fmt: skip
    assert scale["head.weight"] == 1.0
    order = ["stem.0.conv.weight", "stages.0.0.expand.conv.weight", "stages.3.1.conv.weight", "head.weight"]
    values = [next(scale[name] for name in scale if name.startswith(prefix[:10])) for prefix in order]
    assert values == sorted(values) and values[0] < 0.1
    assert all("lr_scale" not in group for group in build_optimizer(model, OptimizerConfig(lr=1.0)).param_groups)


def test_the_learning_rate_scales_with_the_images_of_a_step(photos: Path, tmp_path: Path) -> None:
    optimizer = OptimizerConfig(lr=2e-3, lr_batch=1024, warmup_epochs=0)
    config = tiny_config(photos, tmp_path / "run", batch_size=4, accumulate=2, epochs=1, optimizer=optimizer)
    assert scale_lr(config).lr == pytest.approx(2e-3 * 8 / 1024)
    run_train(config, QUIET)
    assert read_rows(tmp_path / "run" / "metrics.jsonl")[0]["lr"] < 2e-3 * 8 / 1024 + 1e-9


def test_a_preview_stops_after_its_steps_and_finishes(photos: Path, tmp_path: Path) -> None:
    config = tiny_config(photos, tmp_path / "run", epochs=300, steps=8, limit_data=12, evaluate_every=50)
    assert run_train(config, QUIET) == 0
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3] and "val_top1" in rows[-1]
    progress = read_checkpoint(tmp_path / "run" / "last.safetensors").metadata["progress"]
    assert progress["updates"] == 8 and progress["done"]
    assert (tmp_path / "run" / "confusion.png").is_file()


@pytest.mark.parametrize("variant", ["ti", "s", "m", "b"])
def test_the_papers_recipes_say_what_the_facts_say(variant: str) -> None:
    config: Any = parse_settings("train", ["--config", str(ROOT / f"recipes/imagenet_{variant}.yaml"), "--data", "x"])
    optimizer, augment = config.optimizer, config.augment
    assert (config.model, config.epochs, config.image_size) == (f"rapidnet_{variant}", 300, 224)
    assert config.batch_size * config.accumulate == 8 * 128 and optimizer.lr_batch == 1024
    assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adamw", 2e-3, 0.05)
    assert optimizer.options == {"eps": 1e-8}
    assert (optimizer.schedule, optimizer.min_lr) == ("cosine", 1e-5)
    assert (optimizer.warmup_epochs, optimizer.warmup_lr) == (20, 1e-6)
    assert (optimizer.cooldown_epochs, optimizer.clip_grad) == (10, 0)
    assert (config.ema_decay, config.ema_warmup, config.repeated_augment, config.sync_bn) == (0.99996, False, 3, True)
    assert (augment.rand_augment, augment.mixup, augment.cutmix) == ("rand-m9-mstd0.5-inc1", 0.8, 1.0)
    assert (augment.random_erasing, augment.label_smoothing, augment.mix_prob) == (0.25, 0.1, 1.0)
    assert config.model_options == {"drop_path_rate": 0.1}
    taught = config.distillation
    assert (taught.teacher, taught.type, taught.alpha) == ("regnety_160.deit_in1k", "hard", 0.5)


def test_the_papers_recipe_previews_on_small_data(photos: Path, finished_run: Path, tmp_path: Path) -> None:
    """Every part of it, with a smaller network, picture and teacher."""
    config = parse_settings("train", [
        "--config", str(ROOT / "recipes/imagenet_ti.yaml"), "--data", str(photos), "--output", str(tmp_path / "run"),
        "--steps", "2", "--limit-data", "12", "--image-size", "32", "--batch-size", "6", "--precision", "32-true",
        "--model-options", str(TINY | {"drop_path_rate": 0.1}), "--distillation.teacher", str(finished_run),
    ])  # fmt: skip
    assert run_train(config, QUIET) == 0
    progress = read_checkpoint(tmp_path / "run" / "last.safetensors").metadata["progress"]
    assert progress["updates"] == 2


def shapes(monkeypatch: pytest.MonkeyPatch, config: TrainConfig) -> list[tuple[int, int, list[Any]]]:
    """(epoch, size, keys) of every batch trained."""
    seen: list[tuple[int, int, list[Any]]] = []
    original = loop.train_batch

    def train_batch(run: Any, batch: Any, *args: Any) -> None:
        seen.append((run.progress.epoch, batch.images.shape[-1], batch.keys))
        original(run, batch, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_batch", train_batch)
        run_train(config, QUIET)
    return seen


def test_the_image_size_rises(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(photos, tmp_path / "run", epochs=6, first_image_size=32, image_size=112, steps=36)
    seen = shapes(monkeypatch, config)
    sizes = [next(size for epoch, size, _ in seen if epoch == number) for number in range(6)]
    assert sizes == [32, 32, 64, 64, 112, 112]
    assert read_rows(tmp_path / "run" / "metrics.jsonl")[-1]["val_top1"] >= 0


def test_repeated_views_are_side_by_side_and_differ(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(
        photos, tmp_path / "run", epochs=1, batch_size=6, repeated_augment=3, augment=AugmentConfig(color_jitter=0.4)
    )
    seen = shapes(monkeypatch, config)
    keys = [key for _, _, batch in seen for key in batch]
    assert len(keys) == 24 and len({key[1] for key in keys}) == 8, "as long an epoch of a third of the images"
    assert [key[1] for key in keys[:3]] == [keys[0][1]] * 3 and [len(key) for key in keys[:3]] == [2, 3, 3]
    assert len(set(keys)) == 24, "each view has randomness of its own"
