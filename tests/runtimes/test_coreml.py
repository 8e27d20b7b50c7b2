"""Does a Core ML package run where it is told to on a Mac, and is a compute unit refused elsewhere?

Core ML itself is not run where these are: a stand-in for coremltools takes what it would be given.
"""

import platform
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rapidnet.errors import UserError
from rapidnet.runtimes import coreml
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.mil_program import Program

PROGRAM = Program([], {}, "pixels", ["probabilities"], [1, 3, 4, 4], image=True)


class ComputeUnit(Enum):
    ALL, CPU_AND_GPU, CPU_ONLY, CPU_AND_NE = range(4)


class MLCPUComputeDevice:
    pass


class MLNeuralEngineComputeDevice:
    pass


class MLModel:
    opened: list[tuple[str, Enum]] = []  # noqa: RUF012

    def __init__(self, path: str, compute_units: Enum) -> None:
        self.opened.append((path, compute_units))

    def predict(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"probabilities": np.asarray(given["pixels"]).mean((0, 1))[None]}

    def get_compiled_model_path(self) -> str:
        return "compiled"


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A Mac with a coremltools whose plan has three operations on the Neural Engine, one on the CPU, one on neither."""
    usages: list[Any] = [SimpleNamespace(preferred_compute_device=MLNeuralEngineComputeDevice())] * 3
    usages += [SimpleNamespace(preferred_compute_device=MLCPUComputeDevice()), None]
    function = SimpleNamespace(block=SimpleNamespace(operations=list(range(5))))
    asked: list[tuple[str, Enum]] = []

    def load_from_path(path: str, compute_units: Enum) -> SimpleNamespace:
        asked.append((path, compute_units))
        return SimpleNamespace(
            model_structure=SimpleNamespace(program=SimpleNamespace(functions={"main": function})),
            get_compute_device_usage_for_mlprogram_operation=usages.__getitem__,
        )

    package: Any = ModuleType("coremltools")
    package.ComputeUnit = ComputeUnit
    package.models = SimpleNamespace(MLModel=MLModel)
    plans: Any = ModuleType("coremltools.models.compute_plan")
    plans.MLComputePlan = SimpleNamespace(load_from_path=load_from_path)
    monkeypatch.setitem(sys.modules, "coremltools", package)
    monkeypatch.setitem(sys.modules, "coremltools.models.compute_plan", plans)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(coreml, "read_program", lambda path: PROGRAM)
    monkeypatch.setattr(MLModel, "opened", [])
    return SimpleNamespace(plans=plans, asked=asked)


@pytest.mark.parametrize(
    ("unit", "name"),
    [("", "ALL"), ("all", "ALL"), ("cpu", "CPU_ONLY"), ("cpu_gpu", "CPU_AND_GPU"), ("cpu_ne", "CPU_AND_NE")],
)
def test_the_unit_asked_for_is_the_one_it_is_opened_on(unit: str, name: str, mac: SimpleNamespace) -> None:
    network = FORMATS["coreml"].open("model.mlpackage", unit=unit)
    assert MLModel.opened == [("model.mlpackage", ComputeUnit[name])] and mac.asked == [("compiled", ComputeUnit[name])]
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
    coremltools = coreml.import_coremltools("model.mlpackage")
    assert set(coreml.UNITS) == set(FORMATS["coreml"].units)
    assert {coremltools.ComputeUnit[name] for name in coreml.UNITS.values()} == set(coremltools.ComputeUnit)


def test_other_formats_take_no_unit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="onnx artifacts take no compute unit; Core ML's do"):
        FORMATS["onnx"].open(tmp_path / "model.onnx", unit="cpu")
