"""How are a classifier's results shown? Tables and a line."""

from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN_CLASSES = 40
"""More classes than this are not all printed; evaluation.jsonl has every one."""


def summarize_classification(result: dict[str, Any]) -> str:
    """The end of a run in a few words."""
    low, high = result["top1_interval"]
    return f"top-1 [bold]{result['top1']:.2f}%[/bold] (95% interval {low:.2f} to {high:.2f})"


def print_classification(row: dict[str, Any], console: Console) -> None:
    """Accuracy, calibration and the classes, the worst recall first where not all fit."""
    table = Table(title=f"{row['checkpoint']} on {row['images']} images of {row['data']}")
    for heading in ("measure", "value", "95% interval"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for name, label in (("top1", "top-1"), ("top5", "top-5")):
        if row[name] is not None:
            low, high = row[f"{name}_interval"]
            table.add_row(label, f"{row[name]:.2f} %", f"{low:.2f} to {high:.2f}")
    table.add_row("balanced accuracy", f"{row['balanced_accuracy']:.2f} %", "")
    table.add_row("macro F1", f"{row['macro_f1']:.2f} %", "")
    table.add_row("expected calibration error", f"{row['ece']:.2f} %", "")
    table.add_row("negative log-likelihood", f"{row['nll']:.4f} nats", "")
    console.print(table)
    classes = row["per_class"]
    worst = sorted(classes, key=lambda facts: facts["recall"] if facts["recall"] is not None else 101)
    shown = classes if len(classes) <= SHOWN_CLASSES else worst[:SHOWN_CLASSES]
    table = Table("class", title=f"{len(shown)} of {len(classes)} classes")
    for heading in ("images", "precision", "recall", "95% interval", "F1"):
        table.add_column(heading, justify="right")
    for facts in shown:
        interval = facts["recall_interval"]
        table.add_row(
            facts["class"], str(facts["support"]), _percent(facts["precision"]), _percent(facts["recall"]),
            f"{interval[0]:.1f} to {interval[1]:.1f}" if interval else "-", _percent(facts["f1"]),
        )  # fmt: skip
    console.print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
