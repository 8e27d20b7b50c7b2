"""Does a run leave everything it promises, and is what a user can get wrong refused in one sentence?"""

import io
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import timm
import torch
import yaml
from PIL import Image
from rich.console import Console
from safetensors import safe_open
from torch import Tensor

from conftest import TINY, tiny_config, write_images
from rapidnet.config import AugmentConfig, OptimizerConfig, TrainConfig
from rapidnet.data.loading import Batch, EpochSampler
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.training import checkpoint as checkpoint_module
from rapidnet.training import loop
from rapidnet.training.run import Run
from rapidnet.training.train import run_train

QUIET = Console(quiet=True)


def weights(run: Path, name: str = "last.safetensors") -> dict[str, Tensor]:
    with safe_open(run / name, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def same(first: Path, second: Path) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_leaves_everything(finished_run: Path) -> None:
    names = {path.name for path in finished_run.iterdir()}
    expected = {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "tensorboard",
        "last.safetensors",
        "best.safetensors",
        "previous.safetensors",
    }
    assert expected | {"curves.png", "confusion.png", "hub"} == names
    rows = read_rows(finished_run / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) >= {"loss", "train_top1", "val_top1", "ema_top1", "val_loss", "lr", "images_per_s"}
    assert rows[-1]["loss"] < rows[0]["loss"]
    for picture in ("curves.png", "confusion.png"):
        with Image.open(finished_run / picture) as image:
            assert min(image.size) > 300
    assert any(path.name.startswith("events.out") for path in (finished_run / "tensorboard").iterdir())
    environment = json.loads((finished_run / "environment.json").read_text())
    assert environment["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_the_loss_of_a_fixed_seed_repeats_and_another_seed_differs(photos: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run_train(tiny_config(photos, tmp_path / name, seed=seed), QUIET) == 0
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def test_config_yaml_is_a_recipe_that_repeats_the_run(photos: Path, tmp_path: Path) -> None:
    config = tiny_config(photos, tmp_path / "a", augment=AugmentConfig(mixup=0.2, crop_scale=(0.5, 1.0)))
    run_train(config, QUIET)
    saved = yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())
    again = TrainConfig.from_dict(saved | {"output": str(tmp_path / "b")})
    run_train(again, QUIET)
    assert same(tmp_path / "a", tmp_path / "b")


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Send Ctrl-C to this process after so many batches."""
    original, count = loop.train_batch, 0

    def train_batch(*args: object) -> None:
        nonlocal count
        original(*args)
        count += 1
        if count == batches:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop, "train_batch", train_batch)


FULL = {
    "optimizer": OptimizerConfig(name="muon", lr=5e-3, warmup_epochs=0.5, clip_grad=1.0),
    "augment": AugmentConfig(mixup=0.2, cutmix=0.5, random_erasing=0.3, rand_augment="rand-m5-mstd0.5"),
    "model_options": {**TINY, "drop_path_rate": 0.2, "drop_rate": 0.1},
}


@pytest.mark.parametrize(("batches", "accumulate"), [(2, 1), (6, 1), (3, 2), (8, 4)])
def test_ctrl_c_keeps_a_checkpoint_that_continues_exactly(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int, accumulate: int
) -> None:
    run_train(tiny_config(photos, tmp_path / "whole", accumulate=accumulate, **FULL), QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, batches)
        assert run_train(tiny_config(photos, tmp_path / "cut", accumulate=accumulate, **FULL), QUIET) == 130
    assert not same(tmp_path / "whole", tmp_path / "cut")
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")
    compared = ("epoch", "loss", "val_top1", "ema_top1", "lr")
    rows = [
        [{key: row[key] for key in compared} for row in read_rows(tmp_path / name / "metrics.jsonl")]
        for name in ("whole", "cut")
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("fails_at", [3, 4])
def test_a_crash_between_the_files_of_an_epoch_loses_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Killed after the second epoch's best checkpoint or after its row, before its last checkpoint."""
    run_train(tiny_config(photos, tmp_path / "whole", epochs=3), QUIET)
    original, calls = Run.save, 0

    def save(run: Run, name: str, with_optimizer: bool = True) -> None:
        nonlocal calls
        calls += name == "last.safetensors"
        if calls == fails_at:
            raise RuntimeError("killed")
        original(run, name, with_optimizer)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", save)
        with pytest.raises(RuntimeError, match="killed"):
            run_train(tiny_config(photos, tmp_path / "cut", epochs=3), QUIET)
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert [row["epoch"] for row in read_rows(tmp_path / "cut" / "metrics.jsonl")] == [1, 2, 3]
    for name in ("whole", "cut"):
        assert (tmp_path / name / "best.safetensors").is_file()


def test_resume_would_notice_a_forgotten_position(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_train(tiny_config(photos, tmp_path / "whole"), QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run_train(tiny_config(photos, tmp_path / "cut"), QUIET)
    original = EpochSampler.__iter__

    def from_the_start(self: EpochSampler) -> Iterator[tuple[int, int]]:
        length, self.start = len(self), 0
        return islice(original(self), length)

    monkeypatch.setattr(EpochSampler, "__iter__", from_the_start)
    run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET)
    assert not same(tmp_path / "whole", tmp_path / "cut")


def test_resuming_a_finished_run_changes_nothing(finished_run: Path) -> None:
    before = (finished_run / "last.safetensors").read_bytes()
    console = Console(record=True, quiet=False, file=io.StringIO())
    assert run_train(TrainConfig(resume=str(finished_run)), console) == 0
    assert "is complete: 4 epochs" in console.export_text()
    assert (finished_run / "last.safetensors").read_bytes() == before


def test_resume_refuses_what_would_have_no_effect(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--epochs would have no effect"):
        run_train(TrainConfig(resume=str(finished_run), epochs=9), QUIET)
    with pytest.raises(UserError, match="not a run folder"):
        run_train(TrainConfig(resume=str(tmp_path)), QUIET)


def test_a_full_disk_leaves_the_previous_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    original, calls = checkpoint_module.save_file, 0

    def save_file(tensors: dict, path: Path, metadata: dict) -> None:
        nonlocal calls
        calls += 1
        if calls >= 4:
            Path(path).write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        original(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module, "save_file", save_file)
        with pytest.raises(UserError, match="No space left on device") as error:
            run_train(tiny_config(photos, run, epochs=3), QUIET)
    assert f"--resume {run}" in str(error.value)
    assert not list(run.glob(".*.tmp")), "nothing half-written stays"
    assert load_trained(run).classes == ["blue sky", "green", "red"]
    assert run_train(TrainConfig(resume=str(run)), QUIET) == 0
    run_train(tiny_config(photos, tmp_path / "whole", epochs=3), QUIET)
    assert same(tmp_path / "whole", run)


def test_init_replaces_a_head_of_another_size_and_says_so(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    write_images(photos / "train", {"white": 4})
    console = Console(record=True, width=200, file=io.StringIO())
    config = tiny_config(photos, tmp_path / "tuned", epochs=1, init=str(finished_run))
    config.optimizer.warmup_epochs = 0
    config.optimizer.lr = config.optimizer.min_lr = config.optimizer.warmup_lr = 1e-12
    assert run_train(config, console) == 0
    assert "head, head_dist starts fresh with 4 classes" in console.export_text()
    before, after = weights(finished_run, "best.safetensors"), weights(tmp_path / "tuned", "best.safetensors")
    key = "model.stages.0.0.expand.conv.weight"
    start = {torch.allclose(after[key], before[name], atol=1e-6) for name in (key, key.replace("model.", "ema."))}
    assert True in start


def test_init_of_another_architecture_is_refused(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    options = {**TINY, "head_width": 32}
    with pytest.raises(UserError, match=r"'pre_head.conv.weight' has shape \[16, 8, 1, 1\], this network has \[32"):
        run_train(tiny_config(photos, tmp_path / "x", init=str(finished_run), model_options=options), QUIET)


def test_bad_images_follow_the_policy(photos: Path, tmp_path: Path) -> None:
    bad = photos / "train" / "red" / "3.png"
    bad.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"3\.png"):
        run_train(tiny_config(photos, tmp_path / "error"), QUIET)
    assert run_train(tiny_config(photos, tmp_path / "skip", bad_samples="skip"), QUIET) == 0
    assert run_train(tiny_config(photos, tmp_path / "q", bad_samples="quarantine"), QUIET) == 0
    assert (tmp_path / "q" / "quarantine.txt").read_text() == f"{bad}\n"
    assert read_rows(tmp_path / "q" / "metrics.jsonl")[-1]["bad_samples"] == 1


def test_an_existing_folder_is_never_overwritten(finished_run: Path, photos: Path) -> None:
    with pytest.raises(UserError, match="is not empty"):
        run_train(tiny_config(photos, finished_run), QUIET)


def test_unknown_model_optimizer_and_options_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'rapidnet_ti'"):
        run_train(tiny_config(photos, tmp_path / "a", model="rapidnet_tii", model_options={}), QUIET)
    with pytest.raises(UserError, match="no_such"):
        run_train(tiny_config(photos, tmp_path / "b", model_options={"no_such": 1}), QUIET)
    with pytest.raises(UserError, match="did you mean 'adamw'"):
        run_train(tiny_config(photos, tmp_path / "c", optimizer=OptimizerConfig(name="adamww")), QUIET)
    with pytest.raises(UserError, match="warmup_epochs"):
        run_train(tiny_config(photos, tmp_path / "d", optimizer=OptimizerConfig(warmup_epochs=9)), QUIET)


def test_a_refused_command_leaves_no_folder(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown to timm"):
        run_train(tiny_config(photos, tmp_path / "run", model="resnet_of_dreams"), QUIET)
    assert not (tmp_path / "run").exists()


def test_any_timm_network_trains(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_train(tiny_config(photos, run, model="test_resnet", model_options={}, epochs=1,
                                 optimizer=OptimizerConfig(warmup_epochs=0)), QUIET) == 0  # fmt: skip
    assert load_trained(run).model.num_classes == 3


def test_builtin_scenes_are_fresh_in_every_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter = Counter()
    original = loop.train_batch

    def train_batch(run: Run, batch: Batch, *args: object) -> None:
        seen.update(image.numpy().tobytes() for image in batch.images)
        original(run, batch, *args)

    monkeypatch.setattr(loop, "train_batch", train_batch)
    monkeypatch.setattr("rapidnet.training.build_classifier.BUILTIN_VAL_LENGTH", 20)
    assert run_train(tiny_config("builtin", tmp_path / "run", train_length=16), QUIET) == 0
    assert len(seen) == 32
    assert max(seen.values()) == 1


def test_results_row_is_of_the_last_epoch(photos: Path, tmp_path: Path) -> None:
    config = tiny_config(photos, tmp_path / "run", epochs=3, results=str(tmp_path / "rows.jsonl"))
    run_train(config, QUIET)
    (row,) = read_rows(tmp_path / "rows.jsonl")
    last = read_rows(tmp_path / "run" / "metrics.jsonl")[-1]
    assert row["top1"] == pytest.approx(last["ema_top1"])
    assert row["weights"] == "ema"
    assert row["images"] == 9
    assert row["config"]["optimizer"]["lr"] == 1e-2
    assert row["environment"]["packages"]["timm"] == timm.__version__


def test_early_stopping(photos: Path, tmp_path: Path) -> None:
    optimizer = OptimizerConfig(lr=1e-12, warmup_epochs=0, min_lr=1e-12)
    config = tiny_config(photos, tmp_path / "run", epochs=9, patience=2, ema_decay=0.0, optimizer=optimizer)
    run_train(config, QUIET)
    assert len(read_rows(tmp_path / "run" / "metrics.jsonl")) < 9


def test_evaluates_only_as_often_as_asked_and_at_the_end(photos: Path, tmp_path: Path) -> None:
    run_train(tiny_config(photos, tmp_path / "run", epochs=5, evaluate_every=2), QUIET)
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [row["epoch"] for row in rows if "val_top1" in row] == [2, 4, 5]


def test_hub_copy_opens_in_timm(finished_run: Path) -> None:
    assert {path.suffix for path in (finished_run / "hub").iterdir()} == {".json", ".safetensors"}
    trained = load_trained(finished_run)
    model = timm.create_model(f"local-dir:{finished_run / 'hub'}", pretrained=True, **trained.metadata["model_options"])
    image = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.eval()(image), trained.model(image))
    assert model.pretrained_cfg["label_names"] == ["blue sky", "green", "red"]


def test_accumulation_equals_the_large_batch(photos: Path, tmp_path: Path) -> None:
    """Without BatchNorm's batch statistics, two half batches give the gradient of one."""
    plain = {"optimizer": OptimizerConfig(name="sgd", lr=0.1, warmup_epochs=0, weight_decay=0), "epochs": 1}
    common = {"model": "test_vit", "model_options": {"img_size": 32}, "ema_decay": 0.0, **plain}
    run_train(tiny_config(photos, tmp_path / "whole", batch_size=8, **common), QUIET)
    run_train(tiny_config(photos, tmp_path / "half", batch_size=4, accumulate=2, **common), QUIET)
    whole, half = weights(tmp_path / "whole"), weights(tmp_path / "half")
    for key in (key for key in whole if key.startswith("model.")):
        torch.testing.assert_close(whole[key], half[key], atol=1e-5, rtol=1e-4)


def test_the_state_after_an_interrupt_restores_the_signal_handler(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    stop_after(monkeypatch, 1)
    run_train(tiny_config(photos, tmp_path / "run"), QUIET)
    assert signal.getsignal(signal.SIGINT) is before
