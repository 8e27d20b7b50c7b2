"""Does the table of studies say what the rows say, and does it make no claim of too few seeds?"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "experiments"))
import ablation_tables
from test_ablate import simulate

from rapidnet.environment import append_row
from rapidnet.experiments.comparisons import compare_changes


def say(results: Path, seeds: int, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The cells of every line of the table, with a study of so many seeds written last."""
    monkeypatch.setattr(ablation_tables, "RESULTS", results)
    for row in compare_changes(simulate({"worse": -3, "same": 0.05}, seeds)):
        append_row(results / "ablation_s.jsonl", row)
    text = ablation_tables.ablations()
    assert f"Study `s`, 96 px, {seeds} seeds" in text
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_line_for_each_change_from_its_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation_tables, "RESULTS", tmp_path)
    assert ablation_tables.ablations() == "Not measured yet."
    few = say(tmp_path, 3, monkeypatch)
    assert [line[0] for line in few[2:]] == ["baseline", "same", "worse"]
    assert [line[5] for line in few[3:]] == ["too few seeds for a claim"] * 2
    assert [line[0] for line in say(tmp_path, 1, monkeypatch)[2:]] == ["baseline", "same", "worse"]
    # Measured again with more seeds, the last rows count.
    lines = say(tmp_path, 6, monkeypatch)
    assert [line[5] for line in lines[3:]] == ["open", "**worse**"]
    (row,) = (row for row in compare_changes(simulate({"worse": -3, "same": 0.05}, 6)) if row["change"] == "worse")
    assert lines[-1][2] == f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})"
    assert lines[-1][3] == f"{row['q']:.3f}" and lines[-1][4] == "paired t"
    assert lines[-1][8:] == ["6.10", "110.0", "4.0"]
