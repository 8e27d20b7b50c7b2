"""Which of several measurements of the same thing counts? The last steady one; the last, where none ever was."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any

Row = dict[str, Any]
FIGURES = ("latency_ms_p50", "ratio", "images_per_s")
"""Of these a row of a measurement has at least one, unless the machine was unsteady."""


def keep_latest(rows: Iterable[Row], identify: Callable[[Row], Hashable]) -> list[Row]:
    """One row for each thing that `identify` tells apart, in the order in which the things were measured first.

    So that measuring again fills gaps, and a busy hour takes no figure away. Rows of other kinds, which have none of
    the figures, count as they come.
    """
    kept: dict[Hashable, Row] = {}
    for row in rows:
        key = identify(row)
        if key not in kept or has_figures(row) or not has_figures(kept[key]):
            kept[key] = row
    return list(kept.values())


def has_figures(row: Row) -> bool:
    return any(row.get(name) for name in FIGURES)
