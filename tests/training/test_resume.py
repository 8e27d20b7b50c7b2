"""Is N + M steps the same as N, a kill, M - to the last bit - and would a forgotten part of the state show?"""

import io
import json
import os
import re
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from conftest import TINY, tiny_config, write_images
from rapidnet.config import AugmentConfig, DistillationConfig, OptimizerConfig, TrainConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.models import create_model
from rapidnet.models.factory import CHECKSUM_KEY, METADATA_KEY, Checkpoint, compute_checksum, read_checkpoint
from rapidnet.training import checkpoint as checkpoint_module
from rapidnet.training import loop
from rapidnet.training.checkpoint import LAST, PREVIOUS, Progress, read_latest, restore_optimizer, restore_weights
from rapidnet.training.optim import build_optimizer
from rapidnet.training.run import Run
from rapidnet.training.train import run_train
from training.processes import KillAfter, train

QUIET = Console(quiet=True)
FEATURES: dict[str, dict[str, Any]] = {
    "ema": {"ema_decay": 0.9, "augment": AugmentConfig(random_erasing=0.3, rand_augment="rand-m5-mstd0.5")},
    "mixup": {"ema_decay": 0.0, "augment": AugmentConfig(mixup=0.2, cutmix=0.5, color_jitter=0.2)},
    "distillation": {"ema_decay": 0.0},
}
# 24 images in batches of 4, two to an update: the third batch is within an accumulation, the fourth ends one.
MOMENTS = {"epoch boundary": (0, 7), "mid-epoch": (1, 4), "mid-accumulation": (1, 3)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("resume") / "photos"
    write_images(root / "train", {"blue sky": 8, "green": 8, "red": 8})
    write_images(root / "val", {"blue sky": 3, "green": 3, "red": 3}, seed=1)
    return root


def build_config(data: Path, output: Path, feature: str, teacher: Path, **options: Any) -> TrainConfig:
    settings: dict[str, Any] = {
        "accumulate": 2, "model_options": {**TINY, "drop_path_rate": 0.2, "drop_rate": 0.1},
        "optimizer": OptimizerConfig(name="muon", lr=5e-3, warmup_epochs=0.5, clip_grad=1.0),
    }  # fmt: skip
    if feature == "distillation":
        settings["distillation"] = DistillationConfig(teacher=str(teacher), type="soft", temperature=2.0)
    return tiny_config(data, output, **(settings | FEATURES[feature] | options))


@pytest.fixture(scope="module")
def whole(data: Path, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The uninterrupted run of a feature in so many processes, trained once."""
    done: dict[tuple[str, int], Path] = {}

    def get(feature: str, world: int) -> Path:
        if (feature, world) not in done:
            output = tmp_path_factory.mktemp("whole") / "run"
            assert train(build_config(data, output, feature, finished_run), world) == [0] * world
            done[feature, world] = output
        return done[feature, world]

    return get


def state(run: Path, name: str = LAST) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(run / name, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = json.loads(file.metadata()[METADATA_KEY])
    # How long it took is the only thing that may differ.
    metadata["progress"].pop("seconds")
    metadata.pop(CHECKSUM_KEY)
    return tensors, metadata


def same(first: Path, second: Path) -> bool:
    """Weights, averages, optimizer, progress and every metric but the times."""
    (a, facts_a), (b, facts_b) = state(first), state(second)
    rows = [
        [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_s")}
            for row in read_rows(run / "metrics.jsonl")
        ]
        for run in (first, second)
    ]
    equal = a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    return equal and facts_a == facts_b and rows[0] == rows[1]


CROSS = [
    pytest.param(moment, workers, feature, world, marks=() if (n % 5 == 0) else pytest.mark.slow)
    for n, (moment, workers, feature, world) in enumerate(
        (moment, workers, feature, world)
        for moment in MOMENTS for workers in (0, 2) for feature in FEATURES for world in (1, 2)
    )
]  # fmt: skip


@pytest.mark.parametrize(("moment", "workers", "feature", "world"), CROSS)
def test_killed_and_resumed_is_the_same_to_the_last_bit(
    data: Path, finished_run: Path, tmp_path: Path, whole: Any, moment: str, workers: int, feature: str, world: int
) -> None:
    save_steps, batches = MOMENTS[moment]
    output = tmp_path / "run"
    config = build_config(data, output, feature, finished_run, workers=workers, save_steps=save_steps)
    assert -9 in train(config, world, KillAfter(batches))
    reached = state(output)[1]["progress"]
    assert (reached["epoch"], reached["samples"]) == ((1, 0) if moment == "epoch boundary" else (0, 8))
    assert train(TrainConfig(resume=str(output)), world) == [0] * world
    assert same(whole(feature, world), output)


@pytest.fixture(scope="module")
def cut(data: Path, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed in the middle of its second epoch, with an unreadable image behind it."""
    root = tmp_path_factory.mktemp("cut")
    write_images(root / "photos" / "train", {"blue sky": 8, "green": 8, "red": 8})
    write_images(root / "photos" / "val", {"blue sky": 3, "green": 3, "red": 3}, seed=1)
    (root / "photos" / "train" / "red" / "3.png").write_bytes(b"no image")
    for name, before in (("whole", None), ("cut", KillAfter(10))):
        config = tiny_config(
            root / "photos", root / name, epochs=4, ema_decay=0.9, save_steps=1, bad_samples="skip",
            optimizer=OptimizerConfig(lr=2e-2, warmup_epochs=0.5),
        )  # fmt: skip
        assert train(config, 1, before) == ([0] if before is None else [-9])
    return root


def resume_altered(cut: Path, tmp_path: Path, alter: Any) -> Path:
    """Go on from a copy of the cut run whose checkpoint `alter` has changed (with a right checksum)."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "environment.json", "metrics.jsonl"):
        (run / name).write_bytes((cut / "cut" / name).read_bytes())
    (run / "best.safetensors").write_bytes((cut / "cut" / "best.safetensors").read_bytes())
    with safe_open(cut / "cut" / LAST, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = json.loads(file.metadata()[METADATA_KEY])
    alter(tensors, metadata)
    metadata[CHECKSUM_KEY] = compute_checksum(tensors, metadata)
    save_file(tensors, run / LAST, {METADATA_KEY: json.dumps(metadata)})
    run_train(TrainConfig(resume=str(run)), QUIET)
    return run


def test_the_cut_run_itself_goes_on_exactly(cut: Path, tmp_path: Path) -> None:
    assert same(cut / "whole", resume_altered(cut, tmp_path, lambda tensors, metadata: None))


@pytest.mark.parametrize("name", sorted(spec.name for spec in fields(Progress)))
def test_a_checkpoint_without_a_part_of_the_progress_is_refused(cut: Path, tmp_path: Path, name: str) -> None:
    def drop(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        del metadata["progress"][name]

    with pytest.raises(UserError, match=rf"lacks 'progress\.{name}'"):
        resume_altered(cut, tmp_path, drop)


@pytest.mark.parametrize("name", ["epoch", "samples", "updates", "loss_sum", "correct", "seen"])
def test_forgetting_a_part_of_the_progress_shows(cut: Path, tmp_path: Path, name: str) -> None:
    def forget(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        fresh = getattr(Progress(), name)
        assert metadata["progress"][name] != fresh, f"the cut run must have got beyond {name}"
        metadata["progress"][name] = fresh

    assert not same(cut / "whole", resume_altered(cut, tmp_path, forget))


@pytest.mark.parametrize("name", ["best_score", "best_epoch"])
def test_forgetting_the_best_epoch_shows(data: Path, tmp_path: Path, name: str) -> None:
    """In a run that stands still the first epoch stays the best."""
    still = OptimizerConfig(lr=1e-12, warmup_epochs=0, min_lr=1e-12)
    for folder, before in (("whole", None), ("cut", KillAfter(9))):
        train(tiny_config(data, tmp_path / folder, epochs=3, save_steps=1, optimizer=still, ema_decay=0.0), 1, before)

    def forget(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        metadata["progress"][name] = getattr(Progress(), name)

    (tmp_path / "same").mkdir()
    (tmp_path / "forgotten").mkdir()
    assert same(tmp_path / "whole", resume_altered(tmp_path, tmp_path / "same", lambda tensors, metadata: None))
    assert not same(tmp_path / "whole", resume_altered(tmp_path, tmp_path / "forgotten", forget))


def test_dropping_the_list_of_unreadable_images_shows(cut: Path, tmp_path: Path) -> None:
    def drop(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        assert metadata.pop("bad_samples")

    with pytest.raises(UserError, match="bad_samples"):
        resume_altered(cut, tmp_path, drop)


def test_dropping_any_tensor_is_refused(cut: Path) -> None:
    whole = read_checkpoint(cut / "cut" / LAST)
    assert {key.split(".")[0] for key in whole.tensors} == {"model", "ema", "optimizer"}
    model = create_model("rapidnet_ti", **TINY, num_classes=3)
    optimizer = build_optimizer(model, OptimizerConfig())

    def restore(checkpoint: Checkpoint) -> None:
        restore_weights(model, checkpoint, "model.")
        restore_weights(model, checkpoint, "ema.")
        restore_optimizer(optimizer, checkpoint)

    restore(whole)
    for key in whole.tensors:
        rest = {name: value for name, value in whole.tensors.items() if name != key}
        with pytest.raises(UserError, match=f"lacks '{re.escape(key)}'"):
            restore(Checkpoint(whole.path, rest, whole.metadata))


def test_a_run_does_not_go_on_from_a_checkpoint_without_a_tensor(cut: Path, tmp_path: Path) -> None:
    def drop(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        del tensors["ema.stem.0.conv.weight"]

    with pytest.raises(UserError, match=r"lacks 'ema\.stem\.0\.conv\.weight'"):
        resume_altered(cut, tmp_path, drop)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_preemption_saves_the_very_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signum: int, code: int
) -> None:
    run_train(tiny_config(data, tmp_path / "whole", epochs=1), QUIET)
    with monkeypatch.context() as patch:
        send_after(patch, 3, signum)
        assert run_train(tiny_config(data, tmp_path / "cut", epochs=1), QUIET) == code
    assert state(tmp_path / "cut")[1]["progress"]["samples"] == 12
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_sigusr1_saves_and_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = record_saves(monkeypatch)
    send_after(monkeypatch, 3, signal.SIGUSR1)
    assert run_train(tiny_config(data, tmp_path / "run", epochs=1), QUIET) == 0
    assert saved == [(LAST, 0), (LAST, 12), ("best.safetensors", 0), (LAST, 0)]


def test_saves_every_so_many_steps_or_minutes(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = record_saves(monkeypatch)
    run_train(tiny_config(data, tmp_path / "steps", epochs=1, save_steps=2, ema_decay=0.0), QUIET)
    assert [samples for name, samples in saved if name == LAST] == [0, 8, 16, 24, 0]
    saved.clear()
    run_train(tiny_config(data, tmp_path / "minutes", epochs=1, save_minutes=1e-9, ema_decay=0.0), QUIET)
    assert [samples for name, samples in saved if name == LAST] == [0, 4, 8, 12, 16, 20, 24, 0]
    saved.clear()
    run_train(tiny_config(data, tmp_path / "never", epochs=1, save_minutes=0, ema_decay=0.0), QUIET)
    assert [samples for name, samples in saved if name == LAST] == [0, 0]


def test_a_signal_during_evaluation_loses_no_step(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_train(tiny_config(data, tmp_path / "whole"), QUIET)
    original = loop.measure

    def measure(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "measure", measure)
        assert run_train(tiny_config(data, tmp_path / "cut"), QUIET) == 143
    assert state(tmp_path / "cut")[1]["progress"]["samples"] == 24
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_restart_begins_goes_on_and_refuses_another_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_train(tiny_config(data, tmp_path / "whole"), QUIET)
    config = tiny_config(data, tmp_path / "run", restart=True)
    with monkeypatch.context() as patch:
        send_after(patch, 2, signal.SIGTERM)
        assert run_train(config, QUIET) == 143
    with pytest.raises(UserError, match="its seed is 0, not 1"):
        run_train(tiny_config(data, tmp_path / "run", restart=True, seed=1), QUIET)
    assert run_train(config, QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "run")


def test_a_damaged_checkpoint_falls_back_to_the_previous_one_and_says_so(data: Path, tmp_path: Path, cut: Path) -> None:
    for number, damage in enumerate((lambda raw: raw[: len(raw) // 2], flip_a_bit, lambda raw: b"")):
        run = tmp_path / str(number)
        run.mkdir()
        for path in (cut / "cut").iterdir():
            if path.is_file():
                (run / path.name).write_bytes(path.read_bytes())
        (run / LAST).write_bytes(damage((run / LAST).read_bytes()))
        console = Console(record=True, width=300, file=io.StringIO())
        assert run_train(TrainConfig(resume=str(run)), console) == 0
        said = console.export_text()
        assert "going on from" in said and PREVIOUS in said
        assert same(cut / "whole", run)


def flip_a_bit(raw: bytes) -> bytes:
    changed = bytearray(raw)
    changed[-100] ^= 1
    return bytes(changed)


def test_no_valid_checkpoint_is_one_sentence(cut: Path, tmp_path: Path) -> None:
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"last\.safetensors cannot be read"):
        read_latest(tmp_path)


def test_truncation_anywhere_is_never_garbage(cut: Path, tmp_path: Path) -> None:
    """Cut at every 4 KiB, and at every byte of the header's first hundred."""
    raw = (cut / "cut" / LAST).read_bytes()
    path = tmp_path / LAST
    for length in [*range(0, len(raw), 4096), *range(100), len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(UserError, match="cannot be read"):
            read_checkpoint(path)
    path.write_bytes(raw)
    assert read_checkpoint(path).tensors


def test_any_flipped_byte_is_noticed(cut: Path, tmp_path: Path) -> None:
    raw = (cut / "cut" / LAST).read_bytes()
    path = tmp_path / LAST
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(len(raw), (200,), generator=generator).tolist():
        changed = bytearray(raw)
        changed[place] ^= 0x10
        path.write_bytes(bytes(changed))
        with pytest.raises(UserError, match=r"cannot be read|checksum does not match"):
            read_checkpoint(path)


def test_a_leftover_of_a_killed_save_is_swept_away(data: Path, tmp_path: Path) -> None:
    run_train(tiny_config(data, tmp_path / "run", epochs=1), QUIET)
    leftover = tmp_path / "run" / f".{LAST}.12345.tmp"
    leftover.write_bytes(b"half")
    checkpoint = read_checkpoint(tmp_path / "run" / LAST)
    checkpoint_module.save_checkpoint(
        tmp_path / "run" / LAST, torch.nn.Linear(2, 2), None, None, Progress(), checkpoint.metadata
    )
    assert not leftover.exists()


def send_after(monkeypatch: pytest.MonkeyPatch, batches: int, signum: int) -> None:
    original, count = loop.train_batch, 0

    def train_batch(*args: Any) -> None:
        nonlocal count
        original(*args)
        count += 1
        if count == batches:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(loop, "train_batch", train_batch)


def record_saves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(file, samples of the epoch) of every checkpoint written."""
    saved: list[tuple[str, int]] = []
    original = Run.save

    def save(run: Run, name: str, with_optimizer: bool = True) -> None:
        saved.append((name, run.progress.samples))
        original(run, name, with_optimizer)

    monkeypatch.setattr(Run, "save", save)
    return saved
