"""What would a Mac's coremltools give rapidnet? A stand-in with a plan of five operations: four run, one a constant."""

import platform
import sys
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

WEIGHTS = {"ios17.conv": 0.6, "ios17.gelu": 0.15, "softmax": 0.05}
"""What an operation costs, of a whole that is not 1; of the others the plan does not say it."""


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


class FakePlan:
    asked: list[tuple[str, Enum]] = []  # noqa: RUF012

    def __init__(self, path: str, compute_units: Enum) -> None:
        self.asked.append((path, compute_units))
        names = ("ios17.const", "ios17.conv", "ios17.gelu", "ios16.reshape", "softmax")
        operations = [
            SimpleNamespace(operator_name=name, outputs=[SimpleNamespace(name=f"{name}_0")]) for name in names
        ]
        main = SimpleNamespace(block=SimpleNamespace(operations=operations))
        self.model_structure = SimpleNamespace(program=SimpleNamespace(functions={"main": main}))

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        device = MLCPUComputeDevice if operation.operator_name == "softmax" else MLNeuralEngineComputeDevice
        constant = operation.operator_name.endswith("const")
        return None if constant else SimpleNamespace(preferred_compute_device=device())

    def get_estimated_cost_for_mlprogram_operation(self, operation: Any) -> Any:
        weight = WEIGHTS.get(operation.operator_name)
        return weight and SimpleNamespace(weight=weight)


def put_on_a_mac(monkeypatch: pytest.MonkeyPatch, load_from_path: Any = FakePlan) -> SimpleNamespace:
    """From now on this is a Mac; what its parts are called with is in MLModel.opened and FakePlan.asked."""
    package: Any = ModuleType("coremltools")
    package.ComputeUnit = ComputeUnit
    package.models = SimpleNamespace(MLModel=MLModel)
    plans: Any = ModuleType("coremltools.models.compute_plan")
    plans.MLComputePlan = SimpleNamespace(load_from_path=load_from_path)
    monkeypatch.setitem(sys.modules, "coremltools", package)
    monkeypatch.setitem(sys.modules, "coremltools.models.compute_plan", plans)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(MLModel, "opened", [])
    monkeypatch.setattr(FakePlan, "asked", [])
    return SimpleNamespace(plans=plans)
