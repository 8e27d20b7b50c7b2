"""Is every operator of a network told by its runtime: how many of each kind, what ran it, how long it took?"""

import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
from tiny import STATIC, capture_tiny, draw_inputs

from rapidnet.benchmark.hints import find_hint
from rapidnet.errors import UserError
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import adapt, convert
from rapidnet.runtimes import litert_profile, ncnn_profile
from rapidnet.runtimes.aot_inductor_profile import FUSED, TORCH, divide, nest
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.litert_profile import profile_litert
from rapidnet.runtimes.ncnn import load_net
from rapidnet.runtimes.ncnn_profile import time_layer
from rapidnet.runtimes.operator_time import OUTSIDE
from rapidnet.runtimes.profiles import PROFILERS, profile_artifact

CONVOLUTIONS, DEPTHWISE, ACTIVATIONS, UNSEEN = 27, 6, 14, 9
"""Of the tiny network, its heads among them; how many of them may be too fast for OpenVINO's counters."""
slow = pytest.mark.slow
COMPILED = ["onnx", "openvino", "ncnn", "litert", pytest.param("executorch", marks=slow)]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Format -> an artifact of the tiny network, made when it is asked for first."""
    captured, made = capture_tiny(), {}

    def make(name: str) -> Path:
        if name not in made:
            conversion = adapt(name, Conversion(captured, "fp32"))
            made[name] = convert(name, conversion, tmp_path_factory.mktemp(name)).artifact
        return made[name]

    return make


def count_kinds(operators: list, *parts: str) -> int:
    return sum(any(part in operator.kind.lower() for part in parts) for operator in operators)


@pytest.mark.parametrize("name", [*COMPILED, pytest.param("torch", marks=slow)])
def test_every_operator_is_told(name: str, artifacts: Any) -> None:
    operators = profile_artifact(name, artifacts(name), draw_inputs(STATIC, 1), threads=1, runs=5)
    assert len({operator.name for operator in operators}) == len(operators)
    assert min(operator.ms for operator in operators) >= 0 and sum(operator.ms for operator in operators) > 0
    computing = [operator for operator in operators if operator.unit != FUSED]
    # OpenVINO counts whole microseconds on average: of so small a network's operators some show none at all.
    unseen = UNSEEN if name == "openvino" else 0
    assert 0 <= CONVOLUTIONS - count_kinds(computing, "conv", "gemm", "innerproduct") <= unseen
    # torch's kinds of convolution do not tell depthwise ones, OpenVINO computes its GELUs within convolutions.
    told = {"onnx": 0, "torch": 0}.get(name, DEPTHWISE)
    assert told - min(told, unseen) <= count_kinds(operators, "dwconv", "groupconv", "depthwise") <= told
    if name != "torch":
        assert count_kinds(operators, "gelu") == (0 if name == "openvino" else ACTIVATIONS)
    unknown = [operator.kind for operator in operators if not find_hint(operator.kind)]
    assert not unknown


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("onnx", {"CPUExecutionProvider"}),
        ("ncnn", {"CPU"}),
        ("litert", {"CPU, XNNPACK", OUTSIDE}),
        pytest.param("executorch", {"CPU, XNNPACK", OUTSIDE}, marks=slow),
        pytest.param("torch", {TORCH, FUSED}, marks=slow),
    ],
)
def test_what_ran_it_is_told(name: str, units: set[str], artifacts: Any) -> None:
    operators = profile_artifact(name, artifacts(name), draw_inputs(STATIC, 1), threads=1, runs=2)
    assert {operator.unit for operator in operators} == units
    left = sorted(operator.kind for operator in operators if operator.unit == OUTSIDE)
    expected = {"litert": ["CAST", "TRANSPOSE"], "executorch": ["native_call__to_dim_order_copy.out"]}
    assert left == expected.get(name, [])


def test_every_format_has_a_profiler_and_others_are_refused() -> None:
    assert set(PROFILERS) == set(FORMATS)
    with pytest.raises(UserError, match="tnn's runtime tells nothing of its operators here; onnx, openvino"):
        profile_artifact("tnn", "model.tnn", np.zeros((1, 3, 64, 64), np.uint8), 1, 1)


def test_asking_for_every_blob_of_ncnn_changes_no_answer(artifacts: Any) -> None:
    path, images = artifacts("ncnn"), draw_inputs(STATIC, 1)
    ncnn, net, layers = load_net(path, 1)
    extractor, pixels = net.create_extractor(), images[0].astype(np.float32)
    extractor.input(layers[0].outputs[0], ncnn.Mat(pixels).clone())
    for layer in layers[1:]:
        time_layer(extractor, layer, path)
    failed, answer = extractor.extract(layers[-1].outputs[0])
    ((target, expected),) = FORMATS["ncnn"].open(path, 1).run(images).items()
    assert not failed and target == layers[-1].outputs[0]
    assert np.array_equal(np.array(answer), expected[0])


def test_a_layer_of_ncnn_costs_what_asking_twice_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # 7 ms the first time, 2 ms the second.
    ticks = iter([0, 7_000_000, 7_500_000, 9_500_000])
    monkeypatch.setattr(ncnn_profile, "perf_counter_ns", lambda: next(ticks))
    layer: Any = SimpleNamespace(outputs=["blob"])
    extractor = SimpleNamespace(extract=lambda blob, kind: (0, None))
    assert time_layer(extractor, layer, Path("x")) == 5
    monkeypatch.setattr(ncnn_profile, "perf_counter_ns", lambda: 0)
    with pytest.raises(UserError, match="could not compute blob"):
        time_layer(SimpleNamespace(extract=lambda blob, kind: (-1, None)), layer, Path("x"))


def event(name: str, start: float, length: float) -> dict[str, Any]:
    return {"name": name, "ts": start, "dur": length}


def test_the_time_between_torchs_operators_is_its_kernels() -> None:
    events = [
        event("run", 0, 100), event("aten::_convolution", 10, 30), event("aten::mkldnn_convolution", 12, 27),
        event("aten::empty", 13, 1), event("aten::_convolution", 55, 20), event("aten::thnn_conv2d", 56, 3),
        event("aten::slow_conv2d", 60, 14), {"name": "a mark", "ts": 5},
    ]  # fmt: skip
    (run,) = nest(events[::-1])
    steps = [("", "cpp_fused_sub_0"), ("convolution", ""), ("", "cpp_fused_add_1"), ("", "cpp_fused_gelu_2")]
    steps += [("convolution", ""), ("", "cpp_fused_softmax_3")]
    found = {(kind, unit): milliseconds for (_, kind, unit), milliseconds in divide(run, steps, Path("x"))}
    assert found == pytest.approx(
        {
            ("cpp_fused_sub", FUSED): 0.010, ("aten::mkldnn_convolution", TORCH): 0.030,
            ("cpp_fused_add, cpp_fused_gelu", FUSED): 0.015, ("aten::slow_conv2d", TORCH): 0.020,
            ("cpp_fused_softmax", FUSED): 0.025,
        }
    )  # fmt: skip
    with pytest.raises(UserError, match="does not call the operators that its source names"):
        list(divide(run, steps[2:], Path("x")))


def test_another_litert_is_not_read_as_if_it_were_known(artifacts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_profile, "version", lambda package: "2.9.1")
    with pytest.raises(UserError, match=r"known here for ai-edge-litert 2\.3 and not for 2\.9\.1"):
        profile_litert(artifacts("litert"), draw_inputs(STATIC, 1), 1, 1, "")


def test_litert_says_what_it_cannot_run(artifacts: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes 12288 bytes, not the 27648 it was given"):
        profile_litert(artifacts("litert"), np.zeros((1, 3, 96, 96), np.uint8), 1, 1, "")
    (tmp_path / "damaged.tflite").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"LiteRT refuses CreateModelFromFile for .*damaged\.tflite"):
        profile_litert(tmp_path / "damaged.tflite", draw_inputs(STATIC, 1), 1, 1, "")


def test_fused_activations_are_in_the_time_of_their_layer(tmp_path: Path) -> None:
    path = convert("ncnn", Conversion(capture_tiny(act_layer="relu"), "fp32"), tmp_path).artifact
    kinds = Counter(operator.kind for operator in profile_artifact("ncnn", path, draw_inputs(STATIC, 1), 1, 2))
    assert "ReLU" not in kinds and kinds["Convolution"] + kinds["InnerProduct"] + DEPTHWISE == CONVOLUTIONS
