"""How are a study's results shown in a terminal?"""

from typing import Any

from rich.console import Console

from rapidnet.benchmark.narrow_table import print_table
from rapidnet.config.experiments import BASELINE
from rapidnet.experiments.statistics import FEWEST_SEEDS

MINUS = "-"


def print_comparisons(rows: list[dict[str, Any]], console: Console) -> None:
    """Two tables, what was found and what it costs, and what is to be known when reading them."""
    if not rows:
        console.print("no run of the baseline is finished yet, so there is nothing to compare")
        return
    measure = f"{rows[0]['measure']} %"
    print_table(
        console, f"study {rows[0]['name']}: {measure} of the last epoch, 95% intervals over seeds",
        {
            "change": [row["change"] for row in rows],
            "seeds": [str(len(row["seeds"])) for row in rows],
            measure: [show_mean(row) for row in rows],
            "difference to baseline": [show_difference(row) for row in rows],
            "q": [show(row.get("q"), ".3f") for row in rows],
            "claim": [row.get("claim", "") for row in rows],
        },
        left={"change", "claim"},
    )  # fmt: skip
    print_table(
        console, "what a change weighs", {
            "change": [row["change"] for row in rows],
            "effect d_z (95%)": [show_range(row, "effect", "effect_low", "effect_high", "+.1f") for row in rows],
            "could be seen": [show(row.get("detectable"), ".2f") for row in rows],
            "params (M)": [f"{row['params_m']:.2f}" for row in rows],
            "MACs (M)": [f"{row['macs_m']:.1f}" for row in rows],
            "minutes a run": [f"{row['train_seconds'] / 60:.1f}" for row in rows],
        },
        left={"change"},
    )  # fmt: skip
    for line in explain(rows):
        console.print(line, highlight=False)


def explain(rows: list[dict[str, Any]]) -> list[str]:
    """What decides a claim, in sentences."""
    changes = [row for row in rows if row["change"] != BASELINE]
    if not changes:
        return []
    tests = " or ".join(sorted({f"{TESTS[row['test']]}" for row in changes}))
    lines = [
        f"q: p of {tests}, corrected over {len(changes)} changes (Benjamini-Hochberg); claims: q at most 0.05",
        "could be seen: the difference that such a study finds in four of five cases, after correction",
    ]
    few = [row for row in changes if row["claim"] == "too few seeds"]
    if few:
        lines.append(f"too few seeds for a claim in {len(few)} of {len(changes)}: at least {FEWEST_SEEDS} are needed")
    return lines


TESTS = {
    "paired t": "the paired t test (sign flips of so few seeds cannot pass the correction)",
    "sign flips": "the exact sign-flip test (there are seeds enough for it, and it assumes least)",
}


def show_mean(row: dict[str, Any]) -> str:
    if row["interval"] is None:
        return f"{row['mean']:.2f}"
    return f"{row['mean']:.2f} ± {row['interval'][1] - row['mean']:.2f}"


def show_difference(row: dict[str, Any]) -> str:
    return show_range(row, "difference", "low", "high", "+.2f")


def show_range(row: dict[str, Any], middle: str, low: str, high: str, how: str) -> str:
    """'+0.52 (-0.10 to +1.14)'; without an interval where there is none."""
    if row.get(middle) is None:
        return "" if row["change"] == BASELINE else MINUS
    if row[low] is None:
        return format(row[middle], how)
    return f"{row[middle]:{how}} ({row[low]:{how}} to {row[high]:{how}})"


def show(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
