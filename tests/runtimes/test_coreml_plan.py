"""Is Core ML's compute plan read as it stands, by whoever asks, and refused or unknown where there is none?"""

import platform
from typing import Any

import numpy as np
import pytest
from fake_mac import ComputeUnit, FakePlan, MLModel, put_on_a_mac

from rapidnet.errors import UserError
from rapidnet.runtimes.coreml_plan import describe_plan, read_plan
from rapidnet.runtimes.operator_time import OperatorEstimate, OperatorTime
from rapidnet.runtimes.profiles import profile_artifact

PACKAGE, IMAGES = "model.mlpackage", np.zeros((1, 3, 64, 64), np.uint8)
PLANNED = [
    OperatorEstimate("ios17.conv_0", "conv", "Neural Engine", pytest.approx(0.75)),
    OperatorEstimate("ios17.gelu_0", "gelu", "Neural Engine", pytest.approx(0.1875)),
    OperatorEstimate("ios16.reshape_0", "reshape", "Neural Engine", 0.0),
    OperatorEstimate("softmax_0", "softmax", "CPU", pytest.approx(0.0625)),
]


def test_a_profile_is_the_plan_for_all_units_and_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_a_mac(monkeypatch)
    operators = profile_artifact("coreml", PACKAGE, IMAGES, 1, 1)
    assert operators == PLANNED and not any(isinstance(operator, OperatorTime) for operator in operators)
    assert MLModel.opened == [(PACKAGE, ComputeUnit.ALL)] and FakePlan.asked == [("compiled", ComputeUnit.ALL)]


def test_what_is_described_is_the_same_plan_for_the_unit_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_a_mac(monkeypatch)
    model = MLModel(PACKAGE, ComputeUnit.CPU_AND_NE)
    assert read_plan(PACKAGE, model, "cpu_ne") == PLANNED
    assert describe_plan(PACKAGE, model, "cpu_ne") == "Neural Engine 3, CPU 1, as planned"
    assert FakePlan.asked == 2 * [("compiled", ComputeUnit.CPU_AND_NE)]


def test_another_plan_is_read_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_a_mac(monkeypatch)
    # Nothing runs anything here: whoever did not read the plan would still tell of four operations.
    monkeypatch.setattr(FakePlan, "get_compute_device_usage_for_mlprogram_operation", lambda plan, operation: None)
    model = MLModel(PACKAGE, ComputeUnit.ALL)
    assert read_plan(PACKAGE, model, "all") == [] and describe_plan(PACKAGE, model, "all") == "unknown"
    with pytest.raises(UserError, match="told of no operator"):
        profile_artifact("coreml", PACKAGE, IMAGES, 1, 1)


def test_a_device_without_a_name_of_ours_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_a_mac(monkeypatch)
    monkeypatch.setattr("rapidnet.runtimes.coreml_plan.PROCESSORS", {"MLCPUComputeDevice": "CPU"})
    said = describe_plan(PACKAGE, MLModel(PACKAGE, ComputeUnit.ALL), "all")
    assert said == "MLNeuralEngineComputeDevice 3, CPU 1, as planned"


def refuse(path: str, compute_units: Any) -> None:
    raise RuntimeError("MLComputePlan is not\nsupported")


def test_without_a_plan_a_profile_is_refused_and_the_unit_used_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = put_on_a_mac(monkeypatch, refuse)
    with pytest.raises(UserError, match=r"has no compute plan of model.mlpackage \(MLComputePlan is not supported\)"):
        profile_artifact("coreml", PACKAGE, IMAGES, 1, 1)
    assert describe_plan(PACKAGE, MLModel(PACKAGE, ComputeUnit.ALL), "all") == "unknown"
    # As of a coremltools that is older than the plan.
    del mac.plans.MLComputePlan
    with pytest.raises(UserError, match=r"has no compute plan of model.mlpackage .*MLComputePlan.*needs macOS 14.4"):
        profile_artifact("coreml", PACKAGE, IMAGES, 1, 1)
    assert describe_plan(PACKAGE, MLModel(PACKAGE, ComputeUnit.ALL), "all") == "unknown"


def test_elsewhere_than_on_a_mac_nothing_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    with pytest.raises(UserError, match=r"is known on a Mac only \(macOS 14.4 or newer\)"):
        profile_artifact("coreml", PACKAGE, IMAGES, 1, 1)
