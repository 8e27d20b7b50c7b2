"""How are a detector's results shown? Tables, a line and pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from rapidnet.evaluation.detection_metrics import IOU_50, IOU_75, RECALLS, DetectionMeter
from rapidnet.evaluation.pictures import BLUE, GREY, ORANGE, RED, build_figure, shorten, style_axes

SHOWN_CLASSES = 40
"""More classes than this are not all printed; evaluation.jsonl has every one."""
MEASURES = {
    "ap": "AP (overlaps 0.50 to 0.95)",
    "ap50": "AP50 (overlap 0.50)",
    "ap75": "AP75 (overlap 0.75)",
    "ap_small": "AP of objects below 32² pixels",
    "ap_medium": "AP of objects of 32² to 96² pixels",
    "ap_large": "AP of larger objects",
}
CURVES = (("AP50", GREY, IOU_50), ("AP75", ORANGE, IOU_75), ("AP", BLUE, slice(None)))
"""A curve's name, its colour, and which of COCO's overlaps it is the mean of."""


def list_kinds(result: Mapping[str, Any]) -> list[str]:
    """What was measured: boxes, perhaps masks."""
    return [kind for kind in ("box", "mask") if f"{kind}_ap" in result]


def summarize_detection(result: Mapping[str, Any]) -> str:
    """The end of a run in a few words."""
    return ", ".join(
        f"{kind} AP [bold]{write_percent(result[f'{kind}_ap'], 2)}%[/bold]"
        f" (AP50 {write_percent(result[f'{kind}_ap50'], 2)}%)"
        for kind in list_kinds(result)
    )


def print_detection(row: dict[str, Any], console: Console) -> None:
    """Average precisions by overlap, by size and by class, the lowest first where not all fit."""
    kinds = list_kinds(row)
    objects = f"{row['objects']} objects in {row['images']} images"
    table = Table("measure", title=f"{row['checkpoint']} on {objects} of {row['data']}")
    for kind in kinds:
        table.add_column(f"{kind} %", justify="right")
    for key, label in MEASURES.items():
        table.add_row(label, *(write_percent(row[f"{kind}_{key}"], 2) for kind in kinds))
    console.print(table)
    classes = [facts for facts in row["per_class"] if facts["objects"]]
    worst = sorted(classes, key=lambda facts: facts[f"{kinds[-1]}_ap"] or 0.0)
    shown = classes if len(classes) <= SHOWN_CLASSES else worst[:SHOWN_CLASSES]
    table = Table("class", title=f"{len(shown)} of {len(row['per_class'])} classes")
    table.add_column("objects", justify="right")
    keys = [f"{kind}_{measure}" for kind in kinds for measure in ("ap", "ap50")]
    for key in keys:
        table.add_column(key.replace("_ap", " AP"), justify="right")
    for facts in shown:
        table.add_row(facts["class"], str(facts["objects"]), *(write_percent(facts[key]) for key in keys))
    console.print(table)


def draw_class_precision(result: Mapping[str, Any], most: int = 60) -> Figure:
    """A bar for each class's average precision, best first, for masks where there are any; ticks are at AP50.

    Classes without objects are left out; of more than `most` the best and the worst are shown.

    Args:
        result: from `DetectionMeter.compute`.
    """
    kind = list_kinds(result)[-1]
    key = f"{kind}_ap"
    known = sorted((facts for facts in result["per_class"] if facts["objects"]), key=lambda facts: -(facts[key] or 0.0))
    shown = known if len(known) <= most else [*known[: most // 2], *known[-(most // 2) :]]
    figure = build_figure(7.5, 1.2 + 0.2 * max(len(shown), 12))
    axes = figure.subplots()
    rows = np.arange(len(shown))
    axes.barh(rows, [facts[key] or 0.0 for facts in shown], color=BLUE, alpha=0.8, height=0.72, label="AP")
    axes.plot(
        [facts[f"{key}50"] or 0.0 for facts in shown], rows, "|", color=GREY, markersize=7, markeredgewidth=1.5,
        label="AP50",
    )  # fmt: skip
    if result[key] is not None:
        mean = f"mean of {len(known)} classes: {result[key]:.2f} %"
        axes.axvline(result[key], color=RED, linewidth=1, linestyle=(0, (3, 3)), label=mean)
    if len(shown) < len(known):
        axes.axhline(most // 2 - 0.5, color=GREY, linewidth=1, label=f"{len(known) - len(shown)} between not shown")
    axes.set_yticks(rows, [f"{shorten(facts['class'], 24)} ({facts['objects']})" for facts in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    nouns = {"box": "boxes", "mask": "masks"}
    style_axes(axes, f"Average precision of {nouns[kind]} (%), {result['images']:,} images", "")
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return figure


def draw_precision_recall(meter: DetectionMeter) -> Figure:
    """The mean precision of the classes at each recall; the area below a curve is the average precision.

    Args:
        meter: whose `compute` has been called.
    """
    figure = build_figure(4.6 * len(meter.precision), 4)
    for axes, (kind, precision) in zip(
        figure.subplots(1, len(meter.precision), squeeze=False).flat, meter.precision.items(), strict=True
    ):
        for name, colour, overlaps in CURVES:
            values = precision[overlaps, :, :, 0].reshape(-1, len(RECALLS), len(meter.classes))
            values = values[:, :, (values > -1).all((0, 1))]
            if values.size:
                curve = 100 * values.mean((0, 2))
                axes.plot(100 * RECALLS, curve, color=colour, linewidth=1.5, label=f"{name} {curve.mean():.1f} %")
        style_axes(axes, f"{kind.capitalize()} precision (%)", "recall (%)")
        axes.set(xlim=(0, 100), ylim=(0, 101))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    return figure


def write_percent(value: float | None, digits: int = 1) -> str:
    """A dash where there is nothing to measure."""
    return "-" if value is None else f"{value:.{digits}f}"
