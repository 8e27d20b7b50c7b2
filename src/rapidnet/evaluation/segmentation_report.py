"""How are a segmenter's results shown? Tables and a line."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN_CLASSES = 40
"""More classes than this are not all printed; evaluation.jsonl has every one."""


def summarize_segmentation(result: Mapping[str, Any]) -> str:
    """The end of a run in a few words."""
    interval = write_interval(result)
    end = f" (95% interval {interval})" if interval else ""
    return f"mIoU [bold]{result['miou']:.2f}%[/bold]{end}, pixel accuracy {result['pixel_accuracy']:.2f}%"


def print_segmentation(row: dict[str, Any], console: Console) -> None:
    """Overlap and accuracy, and the classes, the lowest overlap first where not all fit."""
    table = Table("measure", title=f"{row['checkpoint']} on {row['images']} images of {row['data']}")
    for heading in ("value", "95% interval"):
        table.add_column(heading, justify="right")
    table.add_row("mean intersection over union", f"{row['miou']:.2f} %", write_interval(row))
    table.add_row("pixel accuracy", f"{row['pixel_accuracy']:.2f} %", "")
    table.add_row("mean accuracy of classes", f"{row['mean_accuracy']:.2f} %", "")
    console.print(table)
    classes = [facts for facts in row["per_class"] if facts["iou"] is not None]
    worst = sorted(classes, key=lambda facts: facts["iou"])
    shown = classes if len(classes) <= SHOWN_CLASSES else worst[:SHOWN_CLASSES]
    table = Table("class", title=f"{len(shown)} of {len(row['per_class'])} classes")
    for heading in ("share of pixels %", "IoU %", "accuracy %"):
        table.add_column(heading, justify="right")
    for facts in shown:
        accuracy = "-" if facts["accuracy"] is None else f"{facts['accuracy']:.1f}"
        table.add_row(facts["class"], f"{facts['share']:.1f}", f"{facts['iou']:.1f}", accuracy)
    console.print(table)


def write_interval(result: Mapping[str, Any]) -> str:
    """Empty for a single picture, which has none."""
    interval = result["miou_interval"]
    return f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else ""
