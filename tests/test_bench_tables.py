"""Do the tables of scaling and peers say what the rows say, and that there are none where there are none?"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import bench_tables

from rapidnet.environment import append_row


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench_tables, "RESULTS", tmp_path)
    monkeypatch.setattr(bench_tables, "PICTURE", tmp_path / "scaling.png")
    return tmp_path


def bench(model: str, latency: float = 8.0, **changes: Any) -> dict[str, Any]:
    row = {
        "study": "bench", "name": model, "model": model, "runtime": "onnx", "precision": "fp32", "threads": 1,
        "batch": 1, "image_size": 224, "params_m": 6.0, "gmacs": 0.6, "gemm_share": 0.5,
        "latency_ms_p50": latency, "latency_ms_p90": latency + 1, "images_per_s": 1e3 / latency,
    }  # fmt: skip
    return row | changes


def without_latency(model: str, **changes: Any) -> dict[str, Any]:
    """As an unsteady machine leaves it."""
    figures = ("latency_ms_p50", "latency_ms_p90", "images_per_s", "gemm_share")
    return {key: value for key, value in bench(model, **changes).items() if key not in figures}


def test_without_rows() -> None:
    assert bench_tables.bench_scaling() == bench_tables.bench_peers() == "Not measured yet."


def test_scaling(results: Path) -> None:
    unsteady = without_latency("rapidnet_ti", threads=2, batch=4)
    training = {"study": "training_cost", "model": "rapidnet_b", "image_size": 96, "batch": 16, "threads": 2}
    rows = [
        bench("rapidnet_ti", 99.0), bench("rapidnet_ti"), bench("rapidnet_ti", 32.0, batch=4, images_per_s=125.0),
        bench("rapidnet_ti", 4.0, threads=2), unsteady, without_latency("rapidnet_ti"),
        training | {"precision": "bf16, channels_last", "images_per_s": 20.0, "peak_mb": 1500.0},
        training | {"precision": "fp32", "images_per_s": 10.0, "peak_mb": 2500.0},
        training | {"precision": "fp32", "model": "rapidnet_ti", "peak_mb": 1000.0},
    ]  # fmt: skip
    for row in rows:
        append_row(results / "bench_scaling.jsonl", row)
    calls, steps = bench_tables.bench_scaling().split("\n\n")
    (results / "scaling.png").touch()
    assert bench_tables.bench_scaling().endswith("(images/scaling.png)")
    assert calls.splitlines()[2:] == [
        "| rapidnet_ti | onnx | fp32 | 224 | 1 | 8.00 (125.0) | 4.00 (250.0) |",
        "| rapidnet_ti | onnx | fp32 | 224 | 4 | 32.00 (125.0) | unstable |",
    ]
    assert "fp32, images/s (peak GB) | bf16, channels_last" in steps.splitlines()[0]
    assert steps.splitlines()[2:] == [
        "| rapidnet_ti | 96 | 16 | 2 | unstable |  |", "| rapidnet_b | 96 | 16 | 2 | 10.0 (2.50) | 20.0 (1.50) |"
    ]  # fmt: skip


def test_peers(results: Path) -> None:
    ratio = {"study": "bench_ratio", "runtime": "onnx", "precision": "fp32", "model": "rapidnet_ti"}
    rows = [
        bench("rapidnet_ti"), bench("fastvit_t8", 7.0, image_size=256),
        ratio | {"against_model": "fastvit_t8", "ratio": 1.2, "low": 1.1, "high": 1.3},
        {"study": "bench_left_out", "model": "shvit_s1", "runtime": "onnx", "precision": "fp32", "reason": "it fails"},
    ]  # fmt: skip
    for row in rows:
        append_row(results / "bench_peers.jsonl", row)
    lines = bench_tables.bench_peers().splitlines()
    assert lines[2] == "| fastvit_t8 | onnx fp32 | 256 | 76.2 | 7.00 | 8.00 | 1.20 (1.10 to 1.30) | 6.00 | 0.600 | 50 |"
    assert lines[3].startswith("| rapidnet_ti | onnx fp32 | 224 | 76.3 | 8.00 | 9.00 |  |")
    assert lines[-1] == "- shvit_s1 in onnx fp32: it fails"


def test_attempts_at_speed(results: Path) -> None:
    assert bench_tables.speed_attempts() == "Not measured yet."
    ratio = {"ratio": 0.9, "low": 0.89, "high": 0.911}
    row = {"study": "speed_attempts", "runtime": "openvino", "precision": "int8", "against_exported": ratio}
    row |= {"against_peer": ratio | {"ratio": 0.895}, "expected": 0.95, "bound": False}
    for attempt in (
        row | {"attempt": "ReLU", "bound": True}, row | {"attempt": "old", "expected": None}, row | {"attempt": "new"},
        row | {"attempt": "new", "expected": 0.97},
    ):  # fmt: skip
        append_row(results / "speed_attempts.jsonl", attempt)
    assert bench_tables.speed_attempts().splitlines()[2:] == [
        "| old | openvino int8 |  | 0.900 (0.890 to 0.911) | 0.895 (0.890 to 0.911) |",
        "| new | openvino int8 | 0.970 | 0.900 (0.890 to 0.911) | 0.895 (0.890 to 0.911) |",
        "| ReLU: not a GELU | openvino int8 | 0.950 | 0.900 (0.890 to 0.911) | 0.895 (0.890 to 0.911) |",
    ]


def test_activations(results: Path) -> None:
    assert bench_tables.activations() == "Not measured yet."
    export = {"study": "export", "precision": "int8", "network": 82.0, "artifact": 81.0, "artifact_interval": [80, 82]}
    export |= {"verdict": "passed", "failures": []}
    ratio = {"study": "bench_ratio", "precision": "int8", "low": 1.0, "high": 1.2}
    for name, value in (("hard_swish", 1.1), ("gelu", 1.15)):
        options = {} if name == "gelu" else {"act_layer": name}
        for runtime in ("onnx", "openvino"):
            row = export | {"format": runtime, "model_options": {"layer_scale_init": 0.1} | options}
            append_row(results / "activations.jsonl", row)
            append_row(results / "activations.jsonl", ratio | {"runtime": runtime, "name": name, "ratio": value})
    assert bench_tables.activations().splitlines()[2:] == [
        "| gelu | 82.00" + 2 * " | 81.00 (80.00 to 82.00) | 1.150 (1.000 to 1.200)" + " |",
        "| hard-swish | 82.00" + 2 * " | 81.00 (80.00 to 82.00) | 1.100 (1.000 to 1.200)" + " |",
    ]
    refused = export | {"format": "openvino", "model_options": {"layer_scale_init": 0.1}, "verdict": "failed"}
    append_row(results / "activations.jsonl", refused | {"failures": ["SQNR: 14.12 (bound 15 dB)"]})
    gelu = bench_tables.activations().splitlines()[2]
    assert gelu.count("refused") == 1 and "(80.00 to 82.00); **refused**: SQNR: 14.12 (bound 15 dB) | 1.150" in gelu
