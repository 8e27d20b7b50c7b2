"""Do the tables of latency say what the rows say, of Ti in one and of the whole family in another?"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import bench_tables
import latency_tables

from rapidnet.environment import append_row

STEADY = {"latency_ms_p90": 9.0, "latency_ms_p50": 8.0, "latency_ms_p99": 10.0, "gflops": 154.2, "gemm_share": 0.62}


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench_tables, "RESULTS", tmp_path)
    return tmp_path


def bench(model: str, day: int = 1, steady: bool = True, **changes: Any) -> dict[str, Any]:
    row = {
        "study": "bench", "name": model, "model": model, "runtime": "onnx", "precision": "fp32", "threads": 1,
        "mode": "standard", "batch": 1, "image_size": 224, "spread": 0.03, "drift": 0.01, "load_ms": 100.0,
        "first_ms": 12.0, "peak_mb": 150.0, "file_mb": 24.4, "params_m": 6.07, "gmacs": 0.617,
        "environment": {"time": f"2026-11-0{day}T04:10:10+00:00"},
    }  # fmt: skip
    return row | (STEADY if steady else {}) | changes


def ratio(model: str, value: float | None = 1.5, **changes: Any) -> dict[str, Any]:
    row = {
        "study": "bench_ratio", "name": model, "model": model, "runtime": "onnx", "precision": "fp32", "threads": 1,
        "mode": "standard", "against": "mobilenetv2_140", "against_model": "mobilenetv2_140",
        "against_runtime": "onnx", "against_precision": "fp32",
    } | changes  # fmt: skip
    figures = {"ratio": value, "low": (value or 0) - 0.01, "high": (value or 0) + 0.01, "verdict": "slower"}
    return row | ({"verdict": "unstable"} if value is None else figures)


def write(results: Path, *rows: dict[str, Any]) -> None:
    for row in rows:
        append_row(results / "bench.jsonl", row)


def family() -> list[str]:
    return latency_tables.bench_family().splitlines()[2:]


def test_without_a_larger_one_there_is_no_family(results: Path) -> None:
    assert latency_tables.bench_family() == "Not measured yet."
    write(results, bench("rapidnet_ti"), bench("mobilenetv2_140"), ratio("rapidnet_ti"))
    assert latency_tables.bench_family() == "Not measured yet."


def test_the_family_by_runtime_and_size(results: Path) -> None:
    write(
        results, bench("rapidnet_ti"), ratio("rapidnet_ti", 1.1), bench("rapidnet_ti", runtime="openvino"),
        bench("mobilenetv2_140"), bench("rapidnet_b", 2, steady=False), ratio("rapidnet_b", 6.25),
        bench("rapidnet_s", 2), ratio("rapidnet_s"), bench("rapidnet_s", precision="int8"), bench("rapidnet_m"),
        ratio("rapidnet_m", None),
    )  # fmt: skip
    # Ti is there where a larger one is; a ratio may be steady where latencies are not, or the other way round.
    assert family() == [
        "| rapidnet_ti | onnx | fp32 | 2026-11-01 | 9.00 | 8.00 | 1.100 (1.090 to 1.110) | 154 | 62 |",
        "| rapidnet_s | onnx | fp32 | 2026-11-02 | 9.00 | 8.00 | 1.500 (1.490 to 1.510) | 154 | 62 |",
        "| rapidnet_m | onnx | fp32 | 2026-11-01 | 9.00 | 8.00 | unstable | 154 | 62 |",
        "| rapidnet_b | onnx | fp32 | 2026-11-02 | unstable | unstable | 6.250 (6.240 to 6.260)"
        + 2 * " | unstable"
        + " |",
        "| rapidnet_s | onnx | int8 | 2026-11-01 | 9.00 | 8.00 |  | 154 | 62 |",
    ]


def test_other_points_and_rivals_are_not_the_familys(results: Path) -> None:
    write(
        results, bench("rapidnet_s"), bench("rapidnet_s", latency_ms_p50=1.0, threads=2),
        bench("rapidnet_s", latency_ms_p50=1.0, batch=4), bench("rapidnet_s", latency_ms_p50=1.0, image_size=96),
        bench("rapidnet_s", latency_ms_p50=1.0, runtime="eager"), ratio("rapidnet_s", 2.0),
        ratio("rapidnet_s", 0.3, against_model="rapidnet_s", against_runtime="eager"),
    )  # fmt: skip
    assert family() == ["| rapidnet_s | onnx | fp32 | 2026-11-01 | 9.00 | 8.00 | 2.000 (1.990 to 2.010) | 154 | 62 |"]


def test_standard_mode_counts_before_quick_and_steady_before_both(results: Path) -> None:
    quick = {"mode": "quick"}
    write(results, bench("rapidnet_s", 1, **quick), ratio("rapidnet_s", 1.4, **quick))
    assert family()[0].startswith("| rapidnet_s (quick) | onnx | fp32 | 2026-11-01 |")
    assert "1.400 (1.390 to 1.410) (quick)" in family()[0]
    write(results, bench("rapidnet_s", 2), ratio("rapidnet_s", 1.5), bench("rapidnet_s", 3, steady=False))
    write(results, bench("rapidnet_s", 4, **quick), ratio("rapidnet_s", 1.6, **quick), ratio("rapidnet_s", None))
    assert family() == ["| rapidnet_s | onnx | fp32 | 2026-11-02 | 9.00 | 8.00 | 1.500 (1.490 to 1.510) | 154 | 62 |"]


def test_the_table_of_ti_has_no_other_size(results: Path) -> None:
    eager = bench("rapidnet_ti", 3, steady=False, runtime="eager")
    del eager["file_mb"]
    # As a bundle it is the same network.
    bundle = bench("rapidnet_ti", 2, steady=False, name="rapidnet_ti-onnx-fp32")
    write(results, bench("rapidnet_ti"), bundle, bench("rapidnet_s"), eager)
    write(results, ratio("rapidnet_ti", 1.1), ratio("rapidnet_s"))
    write(results, ratio("rapidnet_ti", None, against="mobilenetv2_140-onnx-fp32"))
    first, second = latency_tables.bench().splitlines()[2:]
    assert first.startswith("| rapidnet_ti | eager | fp32 | 2026-11-03 | unstable | unstable | unstable | 3.0 | 1.0 |")
    assert first.endswith("| 150 |  | 6.07 | 0.617 | unstable | unstable |")
    assert second.startswith("| rapidnet_ti | onnx | fp32 | 2026-11-01 | 9.00 | 8.00 | 10.00 |")
    assert latency_tables.bench_ratios().splitlines()[2:] == [
        "| rapidnet_ti | onnx fp32 | mobilenetv2_140 | onnx fp32 | 1.100 (1.090 to 1.110) | slower |"
    ]
