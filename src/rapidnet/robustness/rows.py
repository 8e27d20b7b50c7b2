"""What does a row of results say of a subject's corruptions, by itself and beside the first?"""

from collections.abc import Mapping, Sequence
from typing import Any

from rapidnet.evaluation.metrics import compare_pairs
from rapidnet.robustness.cells import CLEAN, Cell, Key, average, compare_averages
from rapidnet.robustness.corruption_error import compute_corruption_error
from rapidnet.robustness.corruptions import PUBLISHED

Cells = Mapping[Key, Cell]


def describe_corruptions(cells: Cells, kinds: Sequence[str], severities: Sequence[int]) -> dict[str, Any]:
    """clean (None where it was not measured), cells by kind and severity, means over severities and over all.

    Accuracies and calibration errors in percent.
    """
    measured = {key: cell.compute() for key, cell in cells.items()}
    by_kind = {}
    for kind in kinds:
        keys = [(kind, severity) for severity in severities]
        by_kind[kind] = average([cells[key].right for key in keys]) | {
            "ece": sum(measured[key]["ece"] for key in keys) / len(keys),
            "severities": {str(severity): measured[kind, severity] for severity in severities},
        }
    row: dict[str, Any] = {"clean": measured.get(CLEAN), "kinds": by_kind}
    if kinds:
        every = [(kind, severity) for kind in kinds for severity in severities]
        row["corrupted"] = average([cells[key].right for key in every]) | {
            "ece": sum(measured[key]["ece"] for key in every) / len(every)
        }
    return row


def compare_corruptions(cells: Cells, first: Cells, kinds: Sequence[str], severities: Sequence[int]) -> dict[str, Any]:
    """Differences in accuracy to the first subject, picture by picture: clean, by kind, over all."""
    row: dict[str, Any] = {}
    if CLEAN in cells:
        row["clean"] = compare_pairs(cells[CLEAN].right, first[CLEAN].right)
    row["kinds"] = {kind: _compare(cells, first, [(kind, severity) for severity in severities]) for kind in kinds}
    if kinds:
        row["corrupted"] = _compare(cells, first, [(kind, severity) for kind in kinds for severity in severities])
    return row


def relate(
    row: dict[str, Any], reference: Mapping[Key, float], name: str, kinds: Sequence[str], severities: Sequence[int]
) -> dict[str, Any]:
    """The mean corruption error over the kinds of ImageNet-C among `kinds`, with the reference's name."""
    chosen = [kind for kind in kinds if kind in PUBLISHED]
    facts = compute_corruption_error(list_errors(row), reference, chosen, severities)
    return {"reference": name, "over": len(chosen)} | facts


def list_errors(row: dict[str, Any]) -> dict[Key, float]:
    """Errors in percent by kind and severity; NaN for clean pictures that were not measured."""
    table = {CLEAN: 100 - row["clean"]["top1"] if row["clean"] else float("nan")}
    for kind, facts in row["kinds"].items():
        table |= {(kind, int(severity)): 100 - cell["top1"] for severity, cell in facts["severities"].items()}
    return table


def _compare(cells: Cells, first: Cells, keys: Sequence[Key]) -> dict[str, Any]:
    return compare_averages([cells[key].right for key in keys], [first[key].right for key in keys])
