"""Does one file hold a whole run, for any optimizer, and is it never half-written?"""

import json
import os
import stat
from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from torch import nn
from torch.optim import Optimizer

from rapidnet.config import OptimizerConfig
from rapidnet.errors import UserError
from rapidnet.models import read_checkpoint
from rapidnet.training import checkpoint
from rapidnet.training.checkpoint import Progress, restore_optimizer, restore_weights, save_checkpoint
from rapidnet.training.optim import build_optimizer


def build(name: str = "adamw") -> tuple[nn.Module, Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4))
    return model, build_optimizer(model, OptimizerConfig(name=name, lr=1e-2))


def step(model: nn.Module, optimizer: Optimizer, seed: int) -> None:
    model(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon", "lamb", "rmsproptf", "adopt", "lion", "nadamw", "adafactor"])
def test_training_goes_on_exactly(tmp_path: Path, name: str) -> None:
    model, optimizer = build(name)
    for seed in range(3):
        step(model, optimizer, seed)
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, None, optimizer, Progress(epoch=2, samples=12), {"model": "x"})
    again, fresh = build(name)
    saved = read_checkpoint(path)
    restore_weights(again, saved, "model.")
    restore_optimizer(fresh, saved)
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(again, fresh, seed)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert Progress(**saved.metadata["progress"]) == Progress(epoch=2, samples=12)


def test_a_forgotten_optimizer_state_would_show() -> None:
    model, optimizer = build()
    step(model, optimizer, 0)
    again = deepcopy(model)
    fresh = build_optimizer(again, OptimizerConfig(lr=1e-2))
    for seed in (1, 2):
        step(model, optimizer, seed)
        step(again, fresh, seed)
    assert not torch.equal(model[0].weight, again[0].weight)


def test_averaged_weights_are_kept_beside_the_raw_ones(tmp_path: Path) -> None:
    model, _ = build()
    ema = timm.utils.ModelEmaV3(model, 0.5)
    with torch.no_grad():
        model[0].weight.add_(1)
    save_checkpoint(tmp_path / "c.safetensors", model, ema.module, None, Progress(), {})
    with safe_open(tmp_path / "c.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("model.0.weight"), file.get_tensor("ema.0.weight") + 1)
        assert not any(key.startswith("optimizer.") for key in file.keys())  # noqa: SIM118
        assert "progress" in json.loads(file.metadata()["rapidnet"])


@pytest.mark.skipif(os.name != "posix", reason="file modes are a matter of POSIX systems")
def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "c.safetensors", build()[0], None, None, Progress(), {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "c.safetensors").stat().st_mode) == 0o644


@pytest.mark.parametrize("where", ["save_file", "os.replace"])
def test_a_failed_write_keeps_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = tmp_path / "last.safetensors"
    model, _ = build()
    save_checkpoint(path, model, None, None, Progress(epoch=1), {})
    before = path.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os if where == "os.replace" else checkpoint, where.removeprefix("os."), fail)
    with pytest.raises(UserError, match="previous checkpoint is intact"):
        save_checkpoint(path, model, None, None, Progress(epoch=2), {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
