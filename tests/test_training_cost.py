"""Is the cost of a training step that of the project's own step, and given only if the machine was quiet?"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import training_cost

from rapidnet.environment import read_rows


def test_a_step_trains(tmp_path: Path) -> None:
    step = training_cost.build_step(("rapidnet_ti", "bf16, channels_last", 32), 2, str(tmp_path))
    run = next(cell.cell_contents for cell in step.__closure__ if hasattr(cell.cell_contents, "optimizer"))
    assert run.config.channels_last and run.config.precision == "bf16-mixed" and run.ema is not None
    before = next(iter(run.network.parameters())).clone()
    step()
    assert run.progress.updates == 1 and run.progress.seen == 2
    assert not before.equal(next(iter(run.network.parameters())))


def test_figures_are_medians_and_need_a_quiet_machine() -> None:
    visits: list[Any] = [([100.0, 110.0], 500.0, 0.01), ([90.0, 100.0], 600.0, 0.02), ([200.0, 100.0], 550.0, 0.9)]
    row = training_cost.summarize(visits, 8)
    assert row["step_ms_p50"] == 100 and row["images_per_s"] == 80 and row["peak_mb"] == 600
    assert row["spread"] == pytest.approx((150 - 95) / 105) and (row["rounds"], row["steps"]) == (3, 6)
    busy = training_cost.summarize([(times, peak, share + 0.1) for times, peak, share in visits], 8)
    assert busy["verdict"] == "unstable" and "others used 12%" in busy["reasons"][0] and "images_per_s" not in busy
    unknown = training_cost.summarize([(times, peak, None) for times, peak, _ in visits], 8)
    assert unknown["used_by_others"] == "unknown" and unknown["images_per_s"] == 80


def test_rows_and_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Any] = []

    def visit(case: Any, batch_size: int, threads: int, steps: int) -> Any:
        turns.append(case)
        return [case[2] * 1.0] * steps, 100.0 * case[2], 0.0

    monkeypatch.setattr(training_cost, "visit_apart", visit)
    results, picture = tmp_path / "rows.jsonl", tmp_path / "scaling.png"
    options = ["--results", str(results), "--scaling", str(picture), "--batch-size", "4"]
    assert training_cost.main([*options, "--models", "rapidnet_ti", "--sizes", "64", "96"]) == 0
    assert len(turns) == 3 * 4 and len(set(turns[:4])) == 4, "every case has its turn in a round"
    rows = read_rows(results)
    assert [(row["precision"], row["image_size"]) for row in rows] == [
        (precision, size) for precision in training_cost.FORMATS for size in (64, 96)
    ]
    assert rows[0]["study"] == "training_cost" and rows[0]["images_per_s"] == pytest.approx(4 / 64 * 1e3)
    assert picture.stat().st_size > 10_000
    monkeypatch.setattr(training_cost, "visit_apart", lambda *case: ([1.0], 100.0, 0.5))
    assert training_cost.main(["--models", "rapidnet_ti", "--sizes", "64"]) == training_cost.UNSTABLE
