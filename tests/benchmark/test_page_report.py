"""Is what the page measured read as it was meant, and is anything less refused?"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from rapidnet.benchmark.imported import import_file
from rapidnet.benchmark.page_report import read_page
from rapidnet.errors import UserError

REPORT: dict[str, Any] = {
    "rapidnet_page_bench": 1, "time": "2026-11-29T00:00:00.000Z", "page": "0123456789ab",
    "runtime": "onnxruntime-web 1.30.0",
    "bundle": {"name": "ours-onnx-int8", "model": "rapidnet_ti", "task": "classification", "precision": "int8",
               "artifact": "model.onnx", "artifact_sha256": "a" * 64, "card_sha256": "b" * 64},
    "backend": "wasm", "threads": 2,
    "device": {"user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "platform": "Linux", "processors": 8,
               "memory_gb": "unknown", "isolated": True, "load": "unknown"},
    "verified": True, "mode": "standard", "headline": True, "unsteady": [], "load_ms": 150.5, "first_ms": 20.25,
    "steps_ms": {"decode": 8, "resize": 2, "network": 11, "post": 0.1}, "steps_runs": 20,
    "steps_picture": "image/jpeg, 288 x 288 px",
    "blocks_ms": [[10, 11, 12], [11, 10, 30]],
}  # fmt: skip


def test_a_report_becomes_a_row(tmp_path: Path) -> None:
    (tmp_path / "page.json").write_text(json.dumps(REPORT))
    (row,) = import_file(tmp_path / "page.json")
    wanted = {
        "runtime": "onnxruntime-web", "runtime_version": "1.30.0", "model": "rapidnet_ti", "precision": "int8",
        "threads": 2, "compute_unit_asked": "wasm", "compute_unit_used": "CPU", "runs": 6, "artifact_sha256": "a" * 64,
        "load_ms": 150.5,
        "latency_ms_p50": 11, "latency_ms_max": 30, "system": "Mozilla/5.0 (X11; Linux x86_64)", "device": "unknown",
        "headline": False, "measured_by": "imported, not measured by us", "unsteady": [],
    }  # fmt: skip
    assert {key: row[key] for key in wanted} == wanted
    assert "page says" in row["numerics"] and row["source_format"].startswith("rapidnet's page")


def test_what_was_not_checked_is_said(tmp_path: Path) -> None:
    (reading,) = read_page(REPORT | {"verified": "yes", "backend": "webgpu"})
    assert reading.facts["numerics"] == "not checked" and reading.unit_used == ""


@pytest.mark.parametrize(
    "change",
    [
        {"blocks_ms": []},
        {"blocks_ms": [[1, float("nan")]]},
        {"blocks_ms": [[0]]},
        {"rapidnet_page_bench": 2},
        {"bundle": 3},
    ],
)
def test_anything_less_is_no_report(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "page.json").write_text(json.dumps(copy.deepcopy(REPORT) | change))
    with pytest.raises(UserError, match="no result in a layout that is known"):
        import_file(tmp_path / "page.json")
