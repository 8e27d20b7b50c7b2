"""What do the tables of docs/robustness.md say? The corruptions as the code defines them, the rows as measured."""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows
from rapidnet.robustness.corruptions import KINDS
from rapidnet.robustness.golden import FINGERPRINTS

RESULTS = Path(__file__).resolve().parents[1] / "results" / "robustness.jsonl"
MISSING = "Not measured yet."


def corruptions() -> str:
    """Every kind with its parameters at severities 1 to 5."""
    lines = []
    for name, kind in KINDS.items():
        values = [", ".join(f"{value:g}" for value in values) for values in kind.values]
        lines.append([f"`{name}`", kind.group, ", ".join(kind.names), *values, f"`{FINGERPRINTS[name]}`"])
    return table(["kind", "group", "parameters", "1", "2", "3", "4", "5", "fingerprint"], lines)


def read_measured(part: str) -> list[dict[str, Any]]:
    """The last row of each subject that has this part."""
    rows = read_rows(RESULTS) if RESULTS.exists() else []
    return list({row["subject"]: row for row in rows if row.get(part)}.values())


def describe(row: dict[str, Any]) -> str:
    return "run, fp32" if row["kind"] == "run" else f"{row['format']}, {row['precision']}"


def robustness() -> str:
    """Clean and corrupted accuracy of each subject, kind by kind, with the paired difference to the first."""
    rows = read_measured("kinds")
    if not rows:
        return MISSING
    first, others = rows[0], rows[1:]
    lines = []
    for name in ("clean", *first["kinds"], "all"):
        cells = [show(first, name)]
        for row in others:
            facts = pick(row["against_first"], name)
            low, high = facts["difference_interval"]
            cells += [show(row, name, alone=False), f"{facts['difference']:+.2f} ({low:+.2f} to {high:+.2f})"]
        lines.append([name, *cells])
    if "mce" in first:
        blank = [""] * len(others)
        lines.append(["mCE, % of the first's errors", *relate(rows, "mce", blank)])
        lines.append(["relative mCE, %", *relate(rows, "relative_mce", blank)])
    headings = [f"{describe(first)}, top-1 %"]
    for row in others:
        headings += [f"{describe(row)}, top-1 %", "difference (95% interval)"]
    return table([f"{first['images']} pictures", *headings], lines)


def pick(part: dict[str, Any], name: str) -> dict[str, Any]:
    """What is said of clean pictures, of one kind, or of all."""
    if name in ("clean", "all"):
        return part["corrupted" if name == "all" else name]
    return part["kinds"][name]


def show(row: dict[str, Any], name: str, alone: bool = True) -> str:
    facts = pick(row, name)
    value = facts["top1"] if name == "clean" else facts["mean"]
    low, high = facts["top1_interval" if name == "clean" else "interval"]
    return f"{value:.1f} ({low:.1f} to {high:.1f})" if alone else f"{value:.1f}"


def relate(rows: list[dict[str, Any]], name: str, blank: list[str]) -> list[str]:
    first, *others = [f"{row['mce'][name]:.1f}" if row["mce"][name] is not None else "unknown" for row in rows]
    return [first, *(cell for pair in zip(others, blank, strict=True) for cell in pair)]


def calibration() -> str:
    """Expected calibration error, clean and by group of kinds."""
    rows = read_measured("kinds")
    if not rows:
        return MISSING
    groups = list(dict.fromkeys(kind.group for kind in KINDS.values()))
    lines = []
    for row in rows:
        cells = [f"{row['clean']['ece']:.1f}"]
        for group in groups:
            values = [facts["ece"] for kind, facts in row["kinds"].items() if KINDS[kind].group == group]
            cells.append(f"{sum(values) / len(values):.1f}" if values else "")
        lines.append([describe(row), *cells, f"{row['corrupted']['ece']:.1f}"])
    return table(["calibration error, %", "clean", *groups, "all corrupted"], lines)


def attacks() -> str:
    """Accuracy under attack, made on the run and given to its bundles."""
    rows = read_measured("attacked")
    if not rows:
        return MISSING
    lines = []
    for at, line in enumerate(rows[0]["attacked"]["attacks"]):
        name = f"{line['attack']}, {line['epsilon']}/255" if line["epsilon"] else line["attack"]
        low, high = line["top1_interval"]
        cells = [f"{line['top1']:.1f} ({low:.1f} to {high:.1f})"]
        for row in rows[1:]:
            other = row["attacked"]["attacks"][at]
            low, high = other["difference_interval"]
            cells += [f"{other['top1']:.1f}", f"{other['difference']:+.1f} ({low:+.1f} to {high:+.1f})"]
        lines.append([name, *cells])
    headings = [f"{describe(rows[0])}, top-1 %"]
    for row in rows[1:]:
        headings += [f"{describe(row)}, given the same, top-1 %", "difference (95% interval)"]
    return table([f"{rows[0]['attacked']['images']} pictures", *headings], lines)


def sanity() -> str:
    """The checks of the attacks above."""
    rows = [row for row in read_measured("attacked") if row["attacked"]["made_on"] == row["subject"]]
    if not rows:
        return MISSING
    checks = rows[0]["attacked"]["checks"]
    lines = [[check["name"], "holds" if check["holds"] else "fails", check["found"]] for check in checks]
    return table(["check", "verdict", "found"], lines)
