"""What do the docs say of the ablation studies? What rapidnet ablate --results wrote of each."""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results"
TESTS = {"paired t": "paired t", "sign flips": "exact sign flips"}


def ablations() -> str:
    """A table for each study, from the files in the order of their names."""
    parts = [render_study(path) for path in sorted(RESULTS.glob("ablation_*.jsonl"))]
    return "\n\n".join(parts) or "Not measured yet."


def render_study(path: Path) -> str:
    """The last row of the baseline and of each change, the largest difference first."""
    rows = {row["change"]: row for row in read_rows(path) if row["study"] == "ablation comparison"}
    base = rows.pop("baseline")
    changes = sorted(rows.values(), key=lambda row: -row["difference"])
    size = f"{base['image_size']} px" if len({row["image_size"] for row in [base, *changes]}) == 1 else "sizes as named"
    seeds = sorted({len(row["seeds"]) for row in [base, *changes]})
    said = f"Study `{base['name']}`, {size}, {' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds:"
    headings = [
        "change", f"{base['measure']} % (95% interval)", "difference (95% interval)", "q", "test", "claim",
        "effect d_z (95% interval)", "could be seen", "parameters, folded (M)", "MACs (M)", "minutes a run",
    ]  # fmt: skip
    return f"{said}\n\n{table(headings, [describe(row) for row in [base, *changes]])}"


def describe(row: dict[str, Any]) -> list[str]:
    cost = [f"{row['params_m']:.2f}", f"{row['macs_m']:.1f}", f"{row['train_seconds'] / 60:.1f}"]
    mean = f"{row['mean']:.2f}{show_interval(row['interval'], '.2f')}"
    if row["change"] == "baseline":
        return ["baseline", mean, *[""] * 6, *cost]
    few = row["claim"] == "too few seeds"
    return [
        row["change"], mean,
        f"{row['difference']:+.2f}{show_interval([row['low'], row['high']], '+.2f')}",
        "" if row["q"] is None else f"{row['q']:.3f}", TESTS[row["test"]],
        "too few seeds for a claim" if few else row["claim"] if row["claim"] == "open" else f"**{row['claim']}**",
        "" if row["effect"] is None
        else f"{row['effect']:+.2f}{show_interval([row['effect_low'], row['effect_high']], '+.1f')}",
        "" if row["detectable"] is None else f"{row['detectable']:.2f}", *cost,
    ]  # fmt: skip


def show_interval(ends: list[float | None] | None, how: str) -> str:
    """' (-0.10 to +1.14)', or nothing where there is none."""
    if ends is None or ends[0] is None:
        return ""
    return f" ({ends[0]:{how}} to {ends[1]:{how}})"
