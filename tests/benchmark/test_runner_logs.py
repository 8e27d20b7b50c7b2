"""Is what runners print read as their sources print it, and nothing else taken for a result?"""

from pathlib import Path

import pytest

from rapidnet.benchmark.runner_logs import read_executorch, read_litert, read_onnxruntime

# Written for these tests, to the layouts in the programs' sources.
LITERT, EXECUTORCH, ONNXRUNTIME = (
    (Path(__file__).parent / "recorded" / f"{name}.txt").read_text() for name in ("litert", "executorch", "onnxruntime")
)


def test_litert() -> None:
    (reading,) = read_litert(LITERT)
    assert (reading.network, reading.threads, reading.runs) == ("/data/local/tmp/0-model.tflite", 4, 63)
    assert reading.unit_used == "XNNPACK 178 of 180 operators"
    assert reading.figures == pytest.approx(
        {"load_ms": 41.113, "first_ms": 21.034, "latency_ms_mean": 15.9306, "latency_ms_min": 15.79,
         "latency_ms_max": 16.644, "latency_ms_std": 0.121}
    )  # fmt: skip
    # An average is no percentile, and single runs are not told.
    assert not reading.times and "latency_ms_p90" not in reading.figures


def test_litert_with_percentiles_from_logcat() -> None:
    newer = LITERT.replace("avg=15930.6 std=121", "avg=15930.6 std=121 p5=15801 median=15921 p95=16120")
    newer = "".join(f"07-08 15:40:34.275 I/tflite  ( 6794): {line}\n" for line in newer.splitlines())
    (reading,) = read_litert(newer)
    assert reading.figures["latency_ms_p50"] == 15.921 and reading.figures["latency_ms_p95"] == 16.12
    assert reading.unit_used == "XNNPACK 178 of 180 operators" and reading.runs == 63


def test_litert_of_long_and_of_equal_runs() -> None:
    text = LITERT.replace(
        "count=63 first=15945 curr=15872 min=15790 max=16644 avg=15930.6 std=121", "count=2 curr=2950340(all same)"
    )
    (reading,) = read_litert(text.replace("Inference (avg): 15930.6", "Inference (avg): 2.95034e+06"))
    assert reading.figures["latency_ms_mean"] == pytest.approx(2950.34) and reading.runs == 2
    assert reading.figures["latency_ms_min"] == reading.figures["latency_ms_max"] == pytest.approx(2950.34)
    assert reading.figures["latency_ms_std"] == 0


def test_several_logs_in_one_text() -> None:
    slower = LITERT.replace("15930.6", "31861.2").replace("XNNPackDelegate", "GpuDelegateV2")
    first, second = read_litert(LITERT + slower)
    assert second.figures["latency_ms_mean"] == pytest.approx(2 * first.figures["latency_ms_mean"])
    assert second.unit_used == "GpuDelegateV2 178 of 180 operators"
    assert [reading.runs for reading in read_executorch(EXECUTORCH + EXECUTORCH)] == [4, 4]
    assert len(read_onnxruntime(ONNXRUNTIME + ONNXRUNTIME)) == 2


def test_executorch() -> None:
    (reading,) = read_executorch(EXECUTORCH)
    assert reading.times == (41.944288, 9.5, 9.4, 9.6)
    assert (reading.network, reading.threads, reading.runs) == ("rapidnet.pte", 4, 4)
    assert reading.figures["latency_ms_p50"] == pytest.approx(9.55)
    assert reading.figures["load_ms"] == 29.493 and reading.figures["first_ms"] == 41.944288


def test_older_executorch_tells_the_sum_only() -> None:
    older = "".join(line for line in EXECUTORCH.splitlines(keepends=True) if "Iteration" not in line)
    (reading,) = read_executorch(older)
    assert not reading.times
    assert reading.figures == pytest.approx({"latency_ms_mean": 70.444288 / 4, "load_ms": 29.493})


def test_onnxruntime() -> None:
    (reading,) = read_onnxruntime(ONNXRUNTIME)
    assert reading.figures == pytest.approx(
        {"latency_ms_mean": 98.961997, "latency_ms_min": 95.8204, "latency_ms_max": 101.519, "latency_ms_p50": 99.5086,
         "latency_ms_p90": 101.519, "latency_ms_p95": 101.519, "latency_ms_p99": 101.519, "load_ms": 217.932,
         "first_ms": 196}
    )  # fmt: skip
    assert (reading.threads, reading.runs, reading.unit_used) == (2, 5, "Xnnpack")


@pytest.mark.parametrize("read", [read_litert, read_executorch, read_onnxruntime])
def test_a_log_that_broke_off_is_no_result(read: object) -> None:
    for text in (LITERT, EXECUTORCH, ONNXRUNTIME):
        ends = ("Inference timings", "Model executed", "Average inference")
        cut = min(text.find(end) for end in ends if end in text)
        assert read(text[:cut]) == []  # type: ignore[operator]
    assert read("Benchmarking failed.\n") == []  # type: ignore[operator]
