"""Does info describe a name, a run and a checkpoint, and refuse what is neither?"""

import json
from pathlib import Path

import pytest

from rapidnet.benchmark.info import run_info
from rapidnet.config import InfoConfig
from rapidnet.errors import UserError


def info(capsys: pytest.CaptureFixture, model: str | Path, **options: int) -> dict:
    assert run_info(InfoConfig(str(model), json=True, **options)) == 0
    return json.loads(capsys.readouterr().out)


def test_by_name(capsys: pytest.CaptureFixture) -> None:
    facts = info(capsys, "rapidnet_ti")
    assert facts["trained"]["params_m"] == pytest.approx(6.62784)
    assert facts["folded"]["params_m"] < facts["trained"]["params_m"]
    assert facts["trained"]["input_size"] == [3, 224, 224]
    assert [stage["stride"] for stage in facts["folded"]["stages"]][:5] == [4, 4, 8, 16, 32]
    assert info(capsys, "rapidnet_ti", image_size=160, num_classes=10)["trained"]["input_size"] == [3, 160, 160]


def test_any_timm_network(capsys: pytest.CaptureFixture) -> None:
    facts = info(capsys, "resnet18")
    assert facts["trained"]["params_m"] == pytest.approx(11.689512)
    assert facts["trained"]["gmacs"] == pytest.approx(1.814, abs=0.002)


def test_a_run_and_its_checkpoint(finished_run: Path, capsys: pytest.CaptureFixture) -> None:
    for path in (finished_run, finished_run / "last.safetensors"):
        facts = info(capsys, path)
        assert facts["num_classes"] == 3
        assert facts["trained"]["input_size"] == [3, 32, 32]


def test_table(capsys: pytest.CaptureFixture) -> None:
    run_info(InfoConfig("rapidnet_ti"))
    shown = capsys.readouterr().out
    assert "folded" in shown
    assert "847" in shown


def test_neither_a_name_nor_a_path() -> None:
    with pytest.raises(UserError, match="did you mean 'rapidnet_s'"):
        run_info(InfoConfig("rapidnet_sx"))
    with pytest.raises(UserError, match="no run or checkpoint at runs/absent"):
        run_info(InfoConfig("runs/absent"))
