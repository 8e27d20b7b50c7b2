"""Does a profile's table say what ran how much of a network, and what can be done about it?"""

import io
import json
import subprocess
from typing import Any

import pytest
from rich.console import Console

from rapidnet.benchmark.contestants import Contestant
from rapidnet.benchmark.hints import HINTS, find_hint
from rapidnet.benchmark.profile import describe_placement, describe_profile, print_profile, profile_apart
from rapidnet.config.bench import Point
from rapidnet.errors import UserError
from rapidnet.runtimes.operator_time import OUTSIDE


def contestant(runtime: str, precision: str = "fp32") -> Contestant:
    arguments = {"path": "tiny", "arithmetic": "", "batch": 1, "image_size": 64}
    return Contestant("tiny", "rapidnet_ti", runtime, precision, "bundle", arguments, Point(1, 0))


def operator(kind: str, unit: str, **measure: float) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "unit": unit, **measure}


TIMES = {
    "fastest_ms": 4.5,
    "operators": [
        operator("GELU", OUTSIDE, ms=0.5), operator("Convolution (NHWC, QC8) IGEMM", "CPU, XNNPACK", ms=1.0),
        operator("GELU", OUTSIDE, ms=0.25), operator("Convolution (NHWC, QC8) IGEMM", "CPU, XNNPACK", ms=2.2),
        operator("Softmax (NC, F32)", "CPU, XNNPACK", ms=0.05),
    ],
}  # fmt: skip
PLAN = {"operators": [operator("conv", "Neural Engine", share=0.75), operator("softmax", "CPU", share=0.25)]}


def capture_table(row: dict[str, Any]) -> str:
    console = Console(width=240, file=io.StringIO())
    with console.capture() as capture:
        print_profile(row, console)
    return capture.get()


def test_times_are_summed_by_kind_and_by_what_ran_them() -> None:
    row = describe_profile(contestant("litert", "int8"), 2, TIMES)
    assert row["ms"] == pytest.approx(4.0) and row["threads"] == 2 and not row["estimated"]
    kinds = [(kind["kind"], kind["unit"], kind["calls"], kind["ms"], kind["share"]) for kind in row["kinds"]]
    assert kinds == [
        ("Convolution (NHWC, QC8) IGEMM", "CPU, XNNPACK", 2, pytest.approx(3.2), pytest.approx(0.8)),
        ("GELU", OUTSIDE, 2, pytest.approx(0.75), pytest.approx(0.1875)),
        ("Softmax (NC, F32)", "CPU, XNNPACK", 1, pytest.approx(0.05), pytest.approx(0.0125)),
    ]
    units = [(unit["unit"], unit["calls"], unit["share"]) for unit in row["units"]]
    assert units == [("CPU, XNNPACK", 3, pytest.approx(0.8125)), (OUTSIDE, 2, pytest.approx(0.1875))]


def test_what_the_delegate_left_is_named() -> None:
    row = describe_profile(contestant("litert", "int8"), 1, TIMES)
    assert describe_placement(row) == (
        "Run by: CPU, XNNPACK 81.2% (3 operators); CPU, outside the delegate 18.8% (2 operators). "
        "Left out of the delegate: GELU (2)."
    )
    inside = {"operators": TIMES["operators"][1:2], "fastest_ms": 1.0}  # type: ignore[index]
    row = describe_profile(contestant("executorch"), 1, inside)
    assert describe_placement(row).endswith("XNNPACK 100.0% (1 operator). Left out of the delegate: nothing.")
    row = describe_profile(contestant("onnx"), 1, inside)
    assert "delegate" not in describe_placement(row)


def test_only_what_takes_time_gets_a_hint() -> None:
    said = capture_table(describe_profile(contestant("litert", "int8"), 1, TIMES))
    assert "4.00 ms in all (the fastest run without counting: 4.50 ms)" in said
    assert "left to plain kernels; an activation" in said and "arithmetic: a smaller image" in said
    # A network that is int8 already is not told to become it.
    assert "--raw" not in said and "int8, or" not in said
    said = capture_table(describe_profile(contestant("executorch"), 1, TIMES))
    assert "int8, or a network trained with hard-swish" in said and "arithmetic: int8, a smaller image" in said


def test_an_estimate_shows_no_times() -> None:
    row = describe_profile(contestant("coreml"), 1, PLAN)
    assert row["estimated"] and not {"ms", "threads", "runs", "fastest_ms"} & set(row)
    assert [set(kind) for kind in row["kinds"]] == [{"kind", "unit", "calls", "share"}] * 2
    said = capture_table(row)
    assert "not timed: shares of the cost that the runtime expects" in said and " ms " not in said
    assert "75.0" in said and "over many classes" in said
    assert describe_placement(row) == "Expected to be run by: Neural Engine 75.0% (1 operator); CPU 25.0% (1 operator)."


# Kinds that networks other than the tiny one of tests/runtimes/test_profiles.py have shown.
@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("QLinearConv", "arithmetic"), ("QLinearMul", "the product in a GELU"), ("QLinearAdd", "branches"),
        ("Max", "a part of a GELU"), ("QLinearSigmoid", "a part of a GELU"), ("DequantizeLinear", "a change of number"),
        ("Convert (NC)", "a change of number"), ("Softmax (NC, F32)", "over many classes"),
        ("Subgraph", "elementwise operators"), ("Fully Connected (NC, QS8, QC8W) GEMM", "arithmetic"),
        ("HARD_SWISH", "an activation"), ("LOGISTIC", "an activation"), ("ConvolutionDepthWise", "arithmetic"),
        ("ReorderInput", "a change of layout"), ("cpp_fused_convolution", "weights and images laid out anew"),
        ("aten::thnn_conv2d", "torch's plain convolution"), ("aten::mkldnn_convolution", "arithmetic"),
        ("native_call__to_dim_order_copy.out", "a change of number"), ("reduce_mean", "the average"),
    ],
)  # fmt: skip
def test_hints(kind: str, begins: str) -> None:
    assert find_hint(kind).startswith(begins)


def test_hints_keep_no_brackets_and_know_no_more_than_they_say() -> None:
    assert not any("[" in find_hint(kind, precision) for kind in HINTS for precision in ("fp32", "int8"))
    assert find_hint("NonMaxSuppression") == ""


def test_a_process_that_is_killed_is_a_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.CompletedProcess([], -11, "", "INFO: a line that explains nothing")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: dead)
    with pytest.raises(UserError, match=r"profiling tiny .* ended by signal 11"):
        profile_apart(contestant("litert"), 1)
    refused = subprocess.CompletedProcess([], 0, json.dumps({"error": "a Mac is needed"}) + "\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(UserError, match="a Mac is needed"):
        profile_apart(contestant("coreml"), 1)
