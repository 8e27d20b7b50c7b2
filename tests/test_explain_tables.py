"""Do the tables of docs/explain.md say what the last rows say, and nothing where there are none?"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import explain_tables

from rapidnet.environment import append_row


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(explain_tables, "RESULTS", tmp_path / "explain.jsonl")
    return tmp_path / "explain.jsonl"


def test_nothing_is_measured() -> None:
    assert explain_tables.explain_fields() == explain_tables.explain_branches() == "Not measured yet."
    assert explain_tables.explain_maps() == "Not measured yet."


def build_fields(side: float, size: int = 96) -> dict[str, Any]:
    stage = {"stage": "stages.0", "theory": 23, "sides": {"20": 5.0, "99": side}, "areas": {"99": 6.2}}
    return {"study": "explain", "subject": "runs/a", "fields": {"image_size": size, "trained": [stage]}}


def test_the_last_row_of_each_size_counts(results: Path) -> None:
    for row in (build_fields(21), build_fields(23.0), build_fields(25, size=288)):
        append_row(results, row)
    lines = explain_tables.explain_fields().splitlines()[2:]
    assert lines == [
        "| a, trained, 96 px | stages.0 | 23 | 5 | 23 | 6 |", "| a, trained, 288 px | stages.0 | 23 | 5 | 25 | 6 |",
    ]  # fmt: skip
    assert explain_tables.explain_branches() == "Not measured yet."


def test_networks_of_one_name_are_told_apart(results: Path) -> None:
    for subject in ("study/a/seed_0", "study/b/seed_0", "study/a/seed_1"):
        append_row(results, build_fields(21) | {"subject": subject})
    lines = explain_tables.explain_fields().splitlines()[2:]
    assert [line.split(",")[0] for line in lines] == ["| a/seed_0", "| b/seed_0", "| seed_1"]


def test_maps_stand_beside_random_ones(results: Path) -> None:
    gain = {"overall": {"gain": 0.3, "interval": [0.1, 0.5]}}
    areas = {"gradcam": {"deletion": 0.2, "insertion": 0.6, "gains": gain}}
    maps = {"stage": 3, "random": {"deletion": 0.4, "insertion": 0.5}, "areas": areas}
    similar = {"randomised": {"mean": 0.1234}, "other_picture": {"mean": None}}
    append_row(results, {"subject": "runs/a", "kind": "run", "maps": maps | similar})
    lines = explain_tables.explain_maps().splitlines()[2:]
    assert lines[0] == "| a, run: random | 0.400 | 0.500 |  |  |"
    assert (
        lines[1] == "| a, run: Grad-CAM, stage 3 | 0.200 | 0.600 | +0.300 (+0.100 to +0.500) | fresh weights' +0.12 |"
    )
