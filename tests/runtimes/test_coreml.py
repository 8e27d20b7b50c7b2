"""Does a Core ML package run where it is told to on a Mac, and is a compute unit refused elsewhere?

Core ML itself is not run where these are: a stand-in for coremltools takes what it would be given.
"""

import platform
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_mac import ComputeUnit, FakePlan, MLModel, put_on_a_mac

from rapidnet.errors import UserError
from rapidnet.runtimes import coreml, coreml_tools
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.mil_program import Program

PROGRAM = Program([], {}, "pixels", ["probabilities"], [1, 3, 4, 4], image=True)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A Mac, on which the package has a program that is read elsewhere."""
    monkeypatch.setattr(coreml, "read_program", lambda path: PROGRAM)
    return put_on_a_mac(monkeypatch)


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize(
    ("unit", "name"),
    [("", "ALL"), ("all", "ALL"), ("cpu", "CPU_ONLY"), ("cpu_gpu", "CPU_AND_GPU"), ("cpu_ne", "CPU_AND_NE")],
)
def test_the_unit_asked_for_is_the_one_it_is_opened_on(unit: str, name: str) -> None:
    network = FORMATS["coreml"].open("model.mlpackage", unit=unit)
    assert MLModel.opened == [("model.mlpackage", ComputeUnit[name])]
    assert FakePlan.asked == [("compiled", ComputeUnit[name])]
    assert network.unit == "Neural Engine 3, CPU 1, as planned" and network.runtime.endswith("Core ML on macOS")
    images = np.arange(48, dtype=np.uint8).reshape(1, 3, 4, 4)
    # Each channel's mean: the picture was handed over with its channels last.
    assert network.run(images)["probabilities"] == pytest.approx(images.mean((2, 3)))


def test_without_a_plan_what_is_used_is_unknown(mac: SimpleNamespace) -> None:
    del mac.plans.MLComputePlan
    assert FORMATS["coreml"].open("model.mlpackage", unit="cpu").unit == "unknown"


def test_no_unit_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(coreml, "read_program", lambda path: PROGRAM)
    with pytest.raises(UserError, match="has no compute unit here: Core ML is on macOS"):
        FORMATS["coreml"].open("model.mlpackage", unit="cpu")
    assert "not Core ML itself" in FORMATS["coreml"].open("model.mlpackage").runtime


@pytest.mark.filterwarnings("ignore")
def test_every_unit_has_a_name_in_coremltools() -> None:
    coremltools = coreml_tools.import_coremltools("model.mlpackage")
    assert set(coreml_tools.UNITS) == set(FORMATS["coreml"].units)
    assert {coremltools.ComputeUnit[name] for name in coreml_tools.UNITS.values()} == set(coremltools.ComputeUnit)


def test_other_formats_take_no_unit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="onnx artifacts take no compute unit; Core ML's do"):
        FORMATS["onnx"].open(tmp_path / "model.onnx", unit="cpu")
