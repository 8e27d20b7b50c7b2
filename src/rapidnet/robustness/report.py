"""How are the results shown? Tables that fit 80 columns, the subjects by letters where there are several."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = dict[str, Any]


def print_subjects(rows: Sequence[Row], console: Console) -> None:
    """Which letter is whom."""
    console.print()
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        facts = f"{row['kind']}, {row['format']}, {row['precision']}, {row['runtime']}"
        console.print(f"[bold]{letter}[/bold]  {escape(row['subject'])} ({escape(facts)})", highlight=False)


def print_corruptions(row: Row, title: str, console: Console) -> None:
    """Accuracy at each severity, their mean with its interval, calibration; then the mean corruption error."""
    severities = [str(severity) for severity in row["severities"]]
    table = build_table(title, "top-1 %", *severities, "mean", "95% interval", "ECE %")
    if row["clean"]:
        clean = row["clean"]
        shown = (f"{clean['top1']:.1f}", show_interval(clean["top1_interval"]), f"{clean['ece']:.1f}")
        table.add_row("clean", *[""] * len(severities), *shown)
    for name, facts in [*row["kinds"].items(), ("all", row.get("corrupted"))]:
        if facts:
            cells = facts.get("severities")
            each = [f"{cells[severity]['top1']:.1f}" if cells else "" for severity in severities]
            table.add_row(
                name, *each, f"{facts['mean']:.1f}", show_interval(facts["interval"]), f"{facts['ece']:.1f}",
                style="bold" if name == "all" else None,
            )  # fmt: skip
    console.print(table)
    if "mce" in row:
        facts = row["mce"]
        console.print(
            f"mCE {_number(facts['mce'])} %, relative mCE {_number(facts['relative_mce'])} %, over {facts['over']} "
            f"kinds, of {escape(facts['reference'])}'s errors",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def print_comparison(row: Row, first: Row, letters: tuple[str, str], console: Console) -> None:
    """A later subject beside the first, the same pictures for both."""
    ours, theirs = letters
    table = build_table(
        f"{ours} against {theirs}, the same pictures", "top-1 %", theirs, ours, f"{ours} - {theirs}", "95% interval"
    )
    for name, their, our, facts in list_comparisons(row, first):
        low, high = facts["difference_interval"]
        table.add_row(
            name, f"{their:.1f}", f"{our:.1f}", f"{facts['difference']:+.2f}", f"{low:+.2f} to {high:+.2f}",
            style="bold" if name == "all" else None,
        )  # fmt: skip
    console.print(table)


def list_comparisons(row: Row, first: Row) -> list[tuple[str, float, float, Row]]:
    """(condition, first's accuracy, own, difference) of everything that both were measured on."""
    compared, lines = row["against_first"], []
    if row["clean"]:
        lines.append(("clean", first["clean"]["top1"], row["clean"]["top1"], compared["clean"]))
    for kind, facts in row["kinds"].items():
        lines.append((kind, first["kinds"][kind]["mean"], facts["mean"], compared["kinds"][kind]))
    if "corrupted" in row:
        lines.append(("all", first["corrupted"]["mean"], row["corrupted"]["mean"], compared["corrupted"]))
    return lines


def build_table(title: str, *headings: str) -> Table:
    """Its first column words, the others numbers."""
    table = Table(
        title=escape(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table


def show_interval(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.1f} to {high:.1f}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}"
