"""What do the docs say of a network's forms? What scripts/forms_study.py wrote."""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results"


def forms() -> str:
    """The last row of each form, in the order in which they were written first."""
    path = RESULTS / "forms.jsonl"
    rows = {row["form"]: row for row in (read_rows(path) if path.exists() else [])}
    if not rows:
        return "Not measured yet."
    headings = [
        "form", "top-1 % (95% interval)", "same first answer, %", "wins / losses", "largest difference, logit",
        "largest difference, probability", "times as long (95% interval)", "ratio of means", "verdict",
    ]  # fmt: skip
    first = next(iter(rows.values()))
    said = f"{first['model']} at {first['image_size']} px, {first['images']} validation images, one image a call:"
    return f"{said}\n\n{table(headings, [describe(row) for row in rows.values()])}"


def describe(row: dict[str, Any]) -> list[str]:
    if row["verdict"] == "refused":
        return [row["form"], *[""] * 7, "refused by its checks"]
    low, high = row["top1_interval"]
    logit = "" if row["largest_logit"] is None else f"{row['largest_logit']:.1e}"
    cells = [
        row["form"], f"{row['top1']:.2f} ({low:.2f} to {high:.2f})", f"{row['agreement']:.2f}",
        f"{row['wins']} / {row['losses']}", logit, f"{row['largest_probability']:.1e}",
    ]  # fmt: skip
    if row["verdict"] == "unstable":
        return [*cells, "unstable", "", ""]
    ratio = f"{row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
    return [*cells, ratio, f"{row['mean_ratio']:.3f}", row["verdict"]]
