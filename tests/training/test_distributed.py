"""Do several processes train as one does, with no image lost or counted twice?"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import TINY, tiny_config, write_images
from rapidnet.config import AugmentConfig, OptimizerConfig, TrainConfig
from rapidnet.data.batches import BatchShares, share_rows
from rapidnet.data.loading import EpochSampler
from rapidnet.environment import read_rows
from training.processes import KillAfter, train


def sgd_config(photos: Path, output: Path, **options: object) -> TrainConfig:
    """Adam would blow rounding up to the size of a step wherever a gradient is about zero; so would a large rate."""
    settings: dict = {
        "model_options": {**TINY, "drop_path_rate": 0.2, "drop_rate": 0.1, "layer_scale_init": 0.5}, "batch_size": 8,
        "optimizer": OptimizerConfig(name="sgd", lr=0.02, warmup_epochs=0.5, clip_grad=1.0),
        "augment": AugmentConfig(mixup=0.2, cutmix=0.5, random_erasing=0.5),
    }  # fmt: skip
    return tiny_config(photos, output, **(settings | options))


STRONG = OptimizerConfig(name="sgd", lr=0.2, warmup_epochs=0.5, clip_grad=1.0)


@pytest.mark.parametrize(
    "options",
    [{}, {"accumulate": 2}, {"precision": "64-true", "optimizer": STRONG}],
    ids=["float32", "accumulated", "float64 and large steps"],
)
def test_two_processes_have_the_losses_of_one(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    rows = []
    for world in (1, 2):
        output = tmp_path / str(world)
        assert train(sgd_config(photos, output, epochs=3, **options), world) == [0] * world
        rows.append(read_rows(output / "metrics.jsonl"))
    for one, two in zip(*rows, strict=True):
        for name in ("loss", "val_loss", "ema_loss"):
            assert two[name] == pytest.approx(one[name], rel=1e-6, abs=0), name
        assert (two["train_top1"], two["val_top1"]) == (one["train_top1"], one["val_top1"])
    assert abs(rows[0][0]["loss"] - rows[0][-1]["loss"]) > 0.01, "the loss must move for this to say anything"


def test_without_shared_statistics_the_losses_would_differ(photos: Path, tmp_path: Path) -> None:
    losses = []
    for world in (1, 2):
        output = tmp_path / str(world)
        assert train(sgd_config(photos, output, sync_bn=False), world) == [0] * world
        losses.append(read_rows(output / "metrics.jsonl")[-1]["loss"])
    assert abs(losses[0] - losses[1]) > 1e-4


@pytest.mark.parametrize("size", [2, 8, 9, 12])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_shares_are_a_partition_in_mirrored_pairs(size: int, world: int) -> None:
    shares = [share_rows(size, rank, world) for rank in range(world)]
    assert sorted(row for rows in shares for row in rows) == list(range(size))
    assert world > 1 or shares[0] == list(range(size))
    for rows in shares:
        if len(rows) % 2 == 0:
            assert [size - 1 - row for row in reversed(rows)] == rows, "mixing pairs a share's image with its mirror"


def test_every_sample_of_an_epoch_once_over_two_one_two_processes() -> None:
    """The epoch's first batches in two processes, then one, then two again."""
    seen: Counter = Counter()
    length, batch_size, start = 40, 8, 0
    for world, batches in ((2, 2), (1, 1), (2, 2)):
        for rank in range(world):
            sampler = EpochSampler(length, seed=3)
            sampler.set_epoch(1, start)
            for number, keys in enumerate(BatchShares(sampler, batch_size, True, rank, world)):
                if number < batches:
                    seen.update(keys)
        start += batches * batch_size
    assert set(seen.values()) == {1} and len(seen) == length


def test_another_number_of_processes_at_every_checkpoint(photos: Path, tmp_path: Path) -> None:
    """Two processes, killed; then one, killed; then two: the run ends as if one process had done it all."""
    config = sgd_config(photos, tmp_path / "whole", epochs=3, save_steps=1)
    assert train(config) == [0]
    cut = sgd_config(photos, tmp_path / "cut", epochs=3, save_steps=1)
    assert train(cut, 2, KillAfter(2)) != [0, 0]
    resume = TrainConfig(resume=str(tmp_path / "cut"))
    assert train(resume, 1, KillAfter(3)) == [-9]
    assert train(resume, 2) == [0, 0]
    whole, parts = (read_rows(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut"))
    assert [row["epoch"] for row in parts] == [1, 2, 3]
    for one, two in zip(whole, parts, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-6)


def test_unreadable_images_of_one_process_hang_nobody(tmp_path: Path) -> None:
    """Some batches leave a process without any image."""
    photos = tmp_path / "photos"
    write_images(photos / "train", {"a": 8, "b": 8})
    write_images(photos / "val", {"a": 3, "b": 4}, seed=1)
    for n in range(8):
        (photos / "train" / "a" / f"{n}.png").write_bytes(b"no image")
    config = sgd_config(photos, tmp_path / "run", batch_size=4, bad_samples="quarantine", epochs=3)
    assert train(config, 2) == [0, 0]
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert rows[-1]["bad_samples"] == 8
    assert len((tmp_path / "run" / "quarantine.txt").read_text().splitlines()) == 8
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in rows)


def torchrun(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "rapidnet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=200, env=environment)


def test_torchrun_has_the_losses_of_one_process_and_restarts(photos: Path, tmp_path: Path) -> None:
    """The command as a user gives it; given once more, --restart finds the run finished."""
    config = sgd_config(photos, tmp_path / "one")
    assert train(config) == [0]
    recipe = tmp_path / "one" / "config.yaml"
    options = ("train", "--config", str(recipe), "--output", str(tmp_path / "two"), "--restart")
    result = torchrun(*options)
    assert result.returncode == 0, result.stderr
    assert "on cpu in 2 processes" in " ".join(result.stdout.split())
    assert result.stdout.count("best epoch") == 1, "one process speaks"
    for one, two in zip(*(read_rows(tmp_path / name / "metrics.jsonl") for name in ("one", "two")), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-6, abs=0)
    again = torchrun(*options)
    assert again.returncode == 0 and "is complete: 2 epochs" in " ".join(again.stdout.split())


def test_a_batch_that_cannot_be_shared_is_refused(photos: Path, tmp_path: Path) -> None:
    settings = ("--model_options", json.dumps(TINY), "--image-size", "32", "--batch-size", "6")
    result = torchrun("train", "--data", str(photos), "--output", str(tmp_path / "run"), *settings)
    assert result.returncode != 0
    assert "batch_size 6 cannot be shared by 2 processes in pairs of images; take a multiple of 4" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_teacher_is_asked_by_one_process_only(photos: Path, finished_run: Path, tmp_path: Path) -> None:
    options = ("--data", str(photos), "--distillation.teacher", str(finished_run), "--image-size", "32")
    result = torchrun("teacher", "cache", *options, "--output", str(tmp_path / "cache"))
    assert result.returncode != 0
    assert "start it without torchrun" in result.stderr
    assert not (tmp_path / "cache").exists()


def test_synchronised_batchnorm_alone_is_torchs() -> None:
    """With one process a sum over processes is the identity: values, gradients and statistics are nn.BatchNorm2d's."""
    from rapidnet.training.distributed import synchronise_batchnorm

    torch.distributed.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
    try:
        generator = torch.Generator().manual_seed(0)
        x = 5 + torch.randn(4, 3, 5, 7, generator=generator)
        results = []
        for convert in (False, True):
            network: nn.Module = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3))
            if convert:
                network = synchronise_batchnorm(network, torch.device("cpu"))
                assert type(network[0]).__name__ == "SyncBatchNorm"
            inputs = x.clone().requires_grad_()
            out = network(inputs)
            (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
            results.append(
                [out, inputs.grad, network[0].weight.grad, *network.state_dict().values(), network.eval()(x)]
            )
        for torchs, ours in zip(*results, strict=True):
            torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-5)
    finally:
        torch.distributed.destroy_process_group()
