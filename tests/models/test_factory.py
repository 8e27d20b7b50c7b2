"""Do checkpoints of every origin load, strictly and safely, and are bad ones refused in one clear sentence?"""

import argparse
import json
import os
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn

import rapidnet
from conftest import randomize
from models.released import fill_image, released_checkpoint
from rapidnet.errors import UserError
from rapidnet.models import load_weights, read_checkpoint
from rapidnet.models.checkpoint_keys import placed_file


@pytest.fixture(scope="module")
def released() -> dict[str, Tensor]:
    return released_checkpoint("ti")


@pytest.fixture
def released_file(released: dict[str, Tensor], tmp_path: Path) -> Path:
    """As the authors save: raw and averaged weights, and the arguments as a Namespace."""
    raw = {key: value * 2 if value.is_floating_point() else value for key, value in released.items()}
    path = tmp_path / "RapidNet_Ti.pth"
    torch.save({"state_dict": raw, "state_dict_ema": released, "args": argparse.Namespace(lr=1e-3), "epoch": 299}, path)
    return path


def logits(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        return model.eval()(fill_image(64).float())


def test_released_file_loads_through_timm_and_through_us(released_file: Path) -> None:
    ours = rapidnet.create_model("rapidnet_ti", checkpoint=released_file)
    overlay = {"file": str(released_file)}
    theirs = timm.create_model("rapidnet_ti", pretrained=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(logits(ours), logits(theirs))
    raw = rapidnet.create_model("rapidnet_ti", checkpoint=released_file, use_ema=False)
    assert not torch.equal(logits(ours), logits(raw)), "the averaged weights are the default"
    three = timm.create_model("rapidnet_ti", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=3, in_chans=1)
    assert torch.equal(three.stages[0][0].expand.conv.weight, ours.stages[0][0].expand.conv.weight)
    features = rapidnet.create_model("rapidnet_ti", checkpoint=released_file, features_only=True)
    stages = ours.eval().forward_intermediates(fill_image(64).float(), intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(features.eval()(fill_image(64).float()), stages, strict=True))


def test_a_detectors_backbone_loads(released: dict[str, Tensor], tmp_path: Path) -> None:
    backbone = {k: v for k, v in released.items() if not k.startswith(("prediction", "head", "dist_head"))}
    state = {f"backbone.{k}": v for k, v in backbone.items()} | {"neck.lateral.weight": torch.zeros(3)}
    torch.save({"state_dict": state, "meta": {"epoch": 12}}, tmp_path / "mask_rcnn.pth")
    features = rapidnet.create_model("rapidnet_ti", checkpoint=tmp_path / "mask_rcnn.pth", features_only=True)
    expected = released["backbone.0.0.dws.pw1.weight"]
    assert torch.equal(features.state_dict()["stages_0.0.expand.conv.weight"], expected)
    with pytest.raises(UserError, match="no classifier"):
        rapidnet.create_model("rapidnet_ti", checkpoint=tmp_path / "mask_rcnn.pth")


def test_pretrained_offline_names_the_file_and_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"RapidNet_Ti\.pth") as error:
        timm.create_model("rapidnet_ti", pretrained=True)
    assert str(placed_file("rapidnet_ti")) in str(error.value)
    assert str(error.value).count("\n") == 0


def test_pretrained_takes_a_placed_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, released: dict[str, Tensor]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    placed_file("rapidnet_ti").parent.mkdir(parents=True)
    torch.save({"state_dict_ema": released}, placed_file("rapidnet_ti"))
    model = timm.create_model("rapidnet_ti", pretrained=True)
    assert torch.equal(model.stem[0].conv.weight, released["stem.stem.0.weight"])


def test_hub_format_round_trip_is_safetensors(tmp_path: Path) -> None:
    model = randomize(rapidnet.create_model("rapidnet_ti", num_classes=5))
    save_for_hf(model, str(tmp_path), safe_serialization=True)
    assert [path.suffix for path in tmp_path.glob("*model*")] == [".safetensors"]
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert torch.equal(logits(model), logits(again))


def test_other_architecture_says_the_first_key_and_both_shapes(released_file: Path) -> None:
    with pytest.raises(UserError) as error:
        rapidnet.create_model("rapidnet_b", checkpoint=released_file)
    assert "'stem.0.conv.weight'" in str(error.value) or "'stem.0.conv.bias'" in str(error.value)
    assert "[32, 3, 3, 3]" in str(error.value) or "[32]" in str(error.value)
    assert str(released_file) in str(error.value)
    with pytest.raises(UserError, match=r"no key|unexpected key|shape"):
        rapidnet.create_model("resnet18", checkpoint=released_file)


def test_a_changed_number_of_classes_is_said(tmp_path: Path) -> None:
    save_file(rapidnet.create_model("rapidnet_ti", num_classes=5).state_dict(), tmp_path / "five.safetensors")
    model = rapidnet.create_model("rapidnet_ti", num_classes=7)
    assert load_weights(model, read_checkpoint(tmp_path / "five.safetensors")) == ["head", "head_dist"]
    with pytest.raises(UserError, match=r"'head.weight' has shape \[5, 512, 1, 1\], this network has \[7, 512, 1, 1\]"):
        rapidnet.create_model("rapidnet_ti", num_classes=7, checkpoint=tmp_path / "five.safetensors")


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "args": Canary(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="would run code"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "ran").exists(), "the canary itself must work"


def test_unreadable_checkpoints_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    (tmp_path / "broken.safetensors").write_bytes(b"not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("broken.pth", "broken.safetensors", "list.pth", "absent.pth"):
        with pytest.raises(UserError, match=name):
            read_checkpoint(tmp_path / name)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UserError, match=r"did you mean 'rapidnet_ti'"):
        rapidnet.create_model("rapidnet_tiny")
    with pytest.raises(UserError, match="dilation_rates"):
        rapidnet.create_model("rapidnet_ti", dilation_rates=(1,))


def test_metadata_travels_in_the_file(tmp_path: Path) -> None:
    meta = {"rapidnet": json.dumps({"model": "rapidnet_ti", "classes": ["a", "b"]})}
    save_file({"model.x": torch.zeros(1)}, tmp_path / "c.safetensors", meta)
    assert read_checkpoint(tmp_path / "c.safetensors").metadata["classes"] == ["a", "b"]
