"""How are the results on images with several labels shown? Tables and a picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from rapidnet.evaluation.pictures import BLUE, GREY, RED, build_figure, shorten, style_axes

SHOWN_CLASSES = 40
"""More classes than this are not all printed; evaluation.jsonl has every one."""


def summarize_multilabel(result: dict[str, Any]) -> str:
    """The end of a run in a few words."""
    return f"mAP [bold]{result['map']:.2f}%[/bold], macro F1 {result['macro_f1']:.2f}%{say_excluded(result)}"


def say_excluded(result: dict[str, Any]) -> str:
    """Which classes the means leave out, for want of images; empty if none."""
    names = result["without_positives"]
    if not names:
        return ""
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f" ({len(names)} of {len(result['per_class'])} classes have no validation image and are left out: {listed})"


def print_multilabel(row: dict[str, Any], console: Console) -> None:
    """Means and classes, the lowest average precision first where not all fit."""
    table = Table(title=f"{row['checkpoint']} on {row['images']} images of {row['data']}")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for key, label in (("map", "mean average precision"), ("macro_f1", "macro F1"), ("micro_f1", "micro F1")):
        table.add_row(label, f"{row[key]:.2f} %")
    table.add_row("binary cross-entropy", f"{row['bce']:.4f} nats")
    console.print(table)
    if row["without_positives"]:
        console.print(say_excluded(row).strip(" ()"), highlight=False, markup=False)
    classes = [facts for facts in row["per_class"] if facts["support"]]
    shown = classes if len(classes) <= SHOWN_CLASSES else sorted(classes, key=lambda facts: facts["ap"])[:SHOWN_CLASSES]
    table = Table("class", title=f"{len(shown)} of {len(row['per_class'])} classes; precision, recall, F1 at 0.5")
    for heading in ("images", "AP", "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    for facts in shown:
        values = ("-" if facts[key] is None else f"{facts[key]:.1f}" for key in ("ap", "precision", "recall", "f1"))
        table.add_row(facts["class"], str(facts["support"]), *values)
    console.print(table)


def draw_average_precision(result: Mapping[str, Any], most: int = 60) -> Figure:
    """A bar for each class's average precision, best first, with ticks where guessing would end and their mean.

    Classes without images are left out; of more than `most` the best and the worst are shown.

    Args:
        result: from `MultiLabelMeter.compute`.
    """
    known = sorted((facts for facts in result["per_class"] if facts["support"]), key=lambda facts: -facts["ap"])
    shown = known if len(known) <= most else [*known[: most // 2], *known[-(most // 2) :]]
    figure = build_figure(7.5, 1.2 + 0.2 * max(len(shown), 12))
    axes = figure.subplots()
    rows = np.arange(len(shown))
    axes.barh(rows, [facts["ap"] for facts in shown], color=BLUE, alpha=0.8, height=0.72)
    # Whoever orders images at random finds the share of them that carries the label.
    chance = [100 * facts["support"] / result["images"] for facts in shown]
    axes.plot(chance, rows, "|", color=GREY, markersize=7, markeredgewidth=1.5, label="guessing")
    mean = f"mean of {len(known)} classes: {result['map']:.2f} %"
    axes.axvline(result["map"], color=RED, linewidth=1, linestyle=(0, (3, 3)), label=mean)
    if len(shown) < len(known):
        between = f"{len(known) - len(shown)} classes between not shown"
        axes.axhline(most // 2 - 0.5, color=GREY, linewidth=1, label=between)
    axes.set_yticks(rows, [f"{shorten(facts['class'], 24)} ({facts['support']})" for facts in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    style_axes(axes, f"Average precision (%) on {result['images']:,} images", "")
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    return figure
