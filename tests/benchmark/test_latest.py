"""Does the last steady measurement count, whatever was measured before and after it?"""

from typing import Any

from rapidnet.benchmark.latest import keep_latest


def row(name: str, time: int, **figures: float) -> dict[str, Any]:
    return {"name": name, "time": time, **figures}


def keep(*rows: dict[str, Any]) -> list[tuple[str, int]]:
    return [(kept["name"], kept["time"]) for kept in keep_latest(rows, lambda row: row["name"])]


def test_the_last_steady_one_counts() -> None:
    steady = {"latency_ms_p50": 8.0}
    assert keep(row("a", 1, **steady), row("a", 2, **steady)) == [("a", 2)]
    # Measured again, an unsteady one is replaced; a steady one is not by what is unsteady.
    assert keep(row("a", 1), row("a", 2, **steady)) == [("a", 2)]
    assert keep(row("a", 1, **steady), row("a", 2)) == [("a", 1)]
    assert keep(row("a", 1, **steady), row("a", 2), row("a", 3, **steady), row("a", 4)) == [("a", 3)]


def test_the_last_one_where_none_was_steady() -> None:
    assert keep(row("a", 1), row("a", 2), row("b", 3)) == [("a", 2), ("b", 3)]


def test_ratios_and_training_have_figures_too() -> None:
    for figure in ("ratio", "images_per_s"):
        assert keep(row("a", 1, **{figure: 1.0}), row("b", 2), row("a", 3)) == [("a", 1), ("b", 2)]
