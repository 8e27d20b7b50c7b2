"""Is a run opened with the weights asked for, and is a file without its description refused?"""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained, resolve_checkpoint

KEY = "stages.0.0.expand.conv.weight"


def test_weights_are_those_asked_for(finished_run: Path) -> None:
    with safe_open(finished_run / "best.safetensors", framework="pt") as file:
        saved = {name: file.get_tensor(f"{name}.{KEY}") for name in ("model", "ema")}
    assert torch.equal(load_trained(finished_run, "raw").model.state_dict()[KEY], saved["model"])
    assert torch.equal(load_trained(finished_run, "ema").model.state_dict()[KEY], saved["ema"])
    best = load_trained(finished_run)
    assert best.weights == best.metadata["progress"]["better_weights"]
    assert not best.model.training
    assert best.classes == ["blue sky", "green", "red"]
    assert best.preprocessing.image_size == 32


def test_a_folder_means_its_best_checkpoint(finished_run: Path, tmp_path: Path) -> None:
    assert resolve_checkpoint(finished_run).name == "best.safetensors"
    (tmp_path / "last.safetensors").touch()
    assert resolve_checkpoint(tmp_path).name == "last.safetensors"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a run folder"):
        resolve_checkpoint(tmp_path / "empty")


def test_bare_weights_say_what_else_they_are_good_for(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="--init"):
        load_trained(tmp_path / "bare.safetensors")
