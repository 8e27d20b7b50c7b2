"""What do the results look like? Curves, confusions, calibration and examples."""

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, RED, GREY = "#2f5d8a", "#c9752b", "#b3403a", "#8a8f98"
NUMBERED_CLASSES, NAMED_CLASSES, CONFUSION_CELLS = 20, 60, 200


def draw_curves(
    rows: Sequence[Mapping[str, Any]], score: str = "top1", label: str = "top-1", train_score: str = "top1"
) -> Figure:
    """Loss, score and learning rate over the epochs, the best epoch marked.

    Args:
        rows: one for each epoch: "epoch" counted from 1; any of loss, val_loss, ema_loss (nats), train_top1,
            val_top1, ema_top1 (percent), lr, images_per_s may be missing or None.
        score, label: what is in the place of top1 in these keys, and its name; train_score: in train_top1. Where the
            two differ, so do the things they count, and training's is not drawn.
    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("there are no rows to draw")
    figure = build_figure(12, 3.8)
    loss, top1, lr = figure.subplots(1, 3)
    _plot(loss, rows, "loss", "training", GREY)
    _plot(loss, rows, "val_loss", "validation", BLUE)
    _plot(loss, rows, "ema_loss", "validation, averaged", ORANGE)
    if score == train_score:
        _plot(top1, rows, f"train_{score}", "training", GREY)
    _plot(top1, rows, f"val_{score}", "validation", BLUE)
    _plot(top1, rows, f"ema_{score}", "validation, averaged", ORANGE)
    _plot(lr, rows, "lr", "", BLUE)
    scores = [(max(row.get(key) or 0.0 for key in (f"val_{score}", f"ema_{score}")), -row["epoch"]) for row in rows]
    best, epoch = max(scores)
    if best > 0:
        for axes in (loss, top1):
            axes.axvline(-epoch, color=RED, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        top1.plot([-epoch], [best], "o", color=RED, markersize=6, label=f"best: {best:.2f} % at epoch {-epoch}")
    speeds = [row["images_per_s"] for row in rows if row.get("images_per_s")]
    for axes, title in ((loss, "Loss (nats)"), (top1, f"{label} (%)".replace("top", "Top")), (lr, "Learning rate")):
        style_axes(axes, title, "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1, steps=[1, 2, 5, 10]))
        first, last = rows[0]["epoch"], rows[-1]["epoch"]
        axes.set_xlim(first - max(0.5, 0.02 * last), last + max(0.5, 0.02 * last))
    for axes in (loss, top1):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    if speeds:
        lr.set_xlabel(f"epoch (median speed {median(speeds):,.0f} images/s)", fontsize=9)
    lr.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    return figure


def draw_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], unit: str = "images") -> Figure:
    """Where each class goes: rows the true class, columns the predicted one, colours the share of the row.

    Up to 20 classes the counts are written in; beyond 200, blocks of classes share a cell that shows their
    largest value, so that no confusion vanishes between pixels. Grey rows have no images.

    Args:
        confusion: counts [C][C].
        classes: C names.
        unit: what is counted; of pixels, the shares (in percent) are written in.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    total = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    number = len(classes)
    side = float(np.clip(2.2 + 0.42 * number, 4.6, 9))
    figure = build_figure(side + 4.6, side)
    axes, pairs = figure.subplots(1, 2, width_ratios=(side + 0.8, 3.8))
    block = math.ceil(number / CONFUSION_CELLS)
    colours = colormaps["Blues"].with_extremes(bad="#d9d9d9")
    # A gamma below 1 keeps rare confusions visible beside the diagonal.
    image = axes.imshow(
        _pool_largest(shares, block), cmap=colours, norm=PowerNorm(0.4, 0, 100), interpolation="nearest",
        extent=(-0.5, number - 0.5, number - 0.5, -0.5),
    )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, ticks=[0, 1, 5, 10, 25, 50, 100])
    bar.set_label("share of the true class (%)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    index = "" if number <= NAMED_CLASSES else " (index)"
    style_axes(axes, "", f"predicted class{index}", f"true class{index}")
    axes.grid(False)
    if number <= NAMED_CLASSES:
        size = 9 if number <= NUMBERED_CLASSES else 6
        names = [shorten(name, 18) for name in classes]
        axes.set_xticks(range(number), names, rotation=90 if number > 3 else 0, fontsize=size)
        axes.set_yticks(range(number), names, fontsize=size)
    if number <= NUMBERED_CLASSES:
        _write_values(axes, np.nan_to_num(shares) if unit == "pixels" else counts, shares)
    _list_pairs(pairs, counts, total[:, 0], classes, unit)
    return figure


def draw_reliability(bins: Mapping[str, Sequence[Any]], ece: float) -> Figure:
    """How often the network is right at each confidence, above how often it is that confident.

    Args:
        bins: from `ClassificationMeter.reliability_bins`.
        ece: expected calibration error in percent.
    """
    figure = build_figure(5, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    lefts, width = np.asarray(bins["edges"][:-1]), bins["edges"][1] - bins["edges"][0]
    filled = [i for i, count in enumerate(bins["count"]) if count]
    confidence = np.array([bins["confidence"][i] for i in filled])
    accuracy = np.array([bins["accuracy"][i] for i in filled])
    bars: dict[str, Any] = {"width": width, "align": "edge", "edgecolor": "white", "linewidth": 0.8}
    upper.bar(lefts[filled], accuracy, color=BLUE, alpha=0.75, label="right", **bars)
    ends = lefts[filled] + 0.08 * width, lefts[filled] + 0.92 * width
    upper.hlines(confidence, *ends, color=RED, linewidth=2, label="mean confidence")
    middle = lefts[filled] + width / 2
    upper.vlines(middle, np.minimum(accuracy, confidence), np.maximum(accuracy, confidence), color=RED, linewidth=1)
    upper.plot([0, 100], [0, 100], color="#333333", linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration")
    total = sum(bins["count"])
    lower.bar(lefts, 100 * np.asarray(bins["count"]) / max(total, 1), color=GREY, **bars)
    style_axes(upper, f"Calibration error {ece:.2f} %, {total:,} images", "", "right (%)")
    style_axes(lower, "", "confidence of the first answer (%)", "images (%)")
    upper.set(xlim=(0, 100), ylim=(0, 100))
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    return figure


def draw_examples(images: Sequence[np.ndarray], titles: Sequence[str], colours: Sequence[str]) -> Figure:
    """A grid of images under their titles.

    Args:
        images: uint8 [H, W, 3] each, of any sizes.
        titles, colours: one for each image; a title may have several lines, a colour is one of matplotlib's.
    Raises:
        ValueError: no images, or not one title and colour for each.
    """
    if not images or not len(images) == len(titles) == len(colours):
        raise ValueError(f"{len(images)} images, {len(titles)} titles, {len(colours)} colours; give as many of each")
    columns = min(len(images), 8, math.ceil(math.sqrt(1.6 * len(images))))
    lines = max(title.count("\n") + 1 for title in titles)
    count = math.ceil(len(images) / columns)
    figure = build_figure(1.75 * columns, (1.75 + 0.17 * lines) * count)
    for axes in figure.subplots(count, columns, squeeze=False).flat:
        axes.axis("off")
        axes.set_anchor("N")
    for axes, image, title, colour in zip(figure.axes, images, titles, colours, strict=False):
        small = max(image.shape[:2]) < 200
        axes.imshow(image, interpolation="nearest" if small else "antialiased")
        shortened = "\n".join(shorten(line, 24) for line in title.split("\n"))
        axes.set_title(shortened, fontsize=8, color=colour, pad=3)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure so that its name never stands for half of it; the suffix (.png, .svg, .pdf) is the format."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with warnings.catch_warnings():
            # Class names may be in a script that matplotlib's font lacks: it draws boxes, which is no cause for noise.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(temporary, format=path.suffix[1:] or "png", dpi=150, bbox_inches="tight")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def build_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, title: str, x_label: str, y_label: str = "") -> None:
    axes.set_title(title, fontsize=10, loc="left", color="#333333")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8, colors="#444444")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#aaaaaa")
    axes.grid(True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _plot(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, label: str, colour: str) -> None:
    points = [(row["epoch"], row[key]) for row in rows if row.get(key) is not None]
    if points:
        marker = "o" if len(points) <= 15 else None
        axes.plot(*zip(*points, strict=True), color=colour, label=label, linewidth=1.5, marker=marker, markersize=3)


def _pool_largest(values: np.ndarray, block: int) -> np.ndarray:
    """The largest value of each block x block cell; NaN only where all are."""
    if block == 1:
        return values
    edge = -len(values) % block
    cells = len(values) // block + (edge > 0)
    padded = np.pad(np.nan_to_num(values, nan=-1.0), ((0, edge), (0, edge)), constant_values=-1.0)
    pooled = padded.reshape(cells, block, cells, block).max((1, 3))
    return np.where(pooled < 0, np.nan, pooled)


def _write_values(axes: Axes, values: np.ndarray, shares: np.ndarray) -> None:
    size = 9 if len(values) <= 12 else 7
    for (row, column), value in np.ndenumerate(values):
        if round(value):
            colour = "white" if shares[row, column] > 25 else "#333333"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=size, color=colour)


def _list_pairs(
    axes: Axes, counts: np.ndarray, total: np.ndarray, classes: Sequence[str], unit: str, top: int = 10
) -> None:
    axes.axis("off")
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = [divmod(int(flat), len(classes)) for flat in np.argsort(-wrong, axis=None, kind="stable")[:top]]
    entries = [
        f"{shorten(classes[true], 20)} → {shorten(classes[guess], 20)}\n"
        f"    {wrong[true, guess]:,.0f} of {total[true]:,.0f} ({100 * wrong[true, guess] / total[true]:.0f} %)"
        for true, guess in order
        if wrong[true, guess] > 0
    ]
    share = 100 * float(np.trace(counts)) / max(float(counts.sum()), 1.0)
    text = "\n".join(entries) or "none"
    heading = f"{counts.sum():,.0f} {unit}, {share:.2f} % right\n\nMost frequent confusions, true → predicted\n\n"
    axes.text(0.06, 1, heading + text, va="top", fontsize=8, color="#333333", transform=axes.transAxes, linespacing=1.3)


def shorten(text: str, longest: int) -> str:
    """The text shortened in its middle, its dollar signs meaning themselves and not mathematics."""
    if len(text) > longest:
        tail = longest // 3
        text = f"{text[: longest - tail - 1].rstrip()}…{text[-tail:].lstrip()}"
    return text.replace("$", r"\$")
