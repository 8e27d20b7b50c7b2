"""What do fields, maps and branches look like?"""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rapidnet.evaluation.pictures import BLUE, GREY, ORANGE, RED, build_figure, shorten, style_axes
from rapidnet.explain.maps import Mapped
from rapidnet.explain.pictures import Pictures
from rapidnet.explain.report import METHOD_NAMES
from rapidnet.runtimes.network import Array

if TYPE_CHECKING:
    from rapidnet.explain.fields import Field

FAINTEST = 1e-4
"""Of the largest contribution: what is drawn as none."""
SQUARES = (("50", "#4fd1c5"), ("99", "#ffffff"))
"""Share of the contribution, and the colour of the square that holds it."""
THEORY = "#ffb454"
COLOURS = (BLUE, ORANGE, RED, "#5b8c5a", "#7a5c99")
PANELS = 8
"""Side by side on a sheet of maps."""
GREYED = 0.55
"""How much of the map is laid over the grey picture."""


def draw_fields(rows: Sequence[tuple[str, Sequence["Field"]]]) -> Figure:
    """Networks by stages, on a logarithmic scale, each relative to its own largest value.

    Args:
        rows: title and fields of each network, the same stages for all.
    """
    columns = max(len(fields) for _, fields in rows)
    figure = build_figure(2.3 * columns + 1.0, 2.75 * len(rows) + 0.5)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    colours = colormaps["magma"].with_extremes(under="#000004", bad="#000004")
    image = None
    for line, (title, fields) in zip(grid, rows, strict=True):
        for axes in line[len(fields) :]:
            axes.axis("off")
        for axes, field in zip(line, fields, strict=False):
            largest = max(float(field.shares.max()), 1e-300)
            image = axes.imshow(field.shares / largest, cmap=colours, norm=LogNorm(FAINTEST, 1))
            facts = field.measure()
            mark_squares(axes, field, facts)
            known = "unknown" if field.theory is None else f"{field.theory} px"
            sides = ", ".join(f"{side:g}" for side in facts["sides"].values())
            axes.set_title(f"{field.stage}, in theory {known}\n{sides} px", fontsize=8, color="#333333")
            axes.set_xticks([])
            axes.set_yticks([])
        line[0].set_ylabel(title, fontsize=9)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=min(1.0, 1.6 / len(rows)), pad=0.01, aspect=30)
        bar.set_label("contribution, of the largest", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    shares = "/".join(rows[0][1][0].measure()["sides"])
    size = len(rows[0][1][0].shares)
    figure.suptitle(
        f"Input of {size} px; below the stage the sides of squares that hold {shares} % of the contribution; drawn: "
        "50 % (green), 99 % (white), in theory (yellow, where it fits)",
        fontsize=8, color="#444444",
    )  # fmt: skip
    return figure


def mark_squares(axes: Axes, field: "Field", facts: dict[str, Any]) -> None:
    """The squares of SQUARES and, where it fits into the picture, the theoretical field."""
    size = len(field.shares)
    sides = [(facts["sides"][share], colour, "-") for share, colour in SQUARES]
    if field.theory is not None:
        sides.append((field.theory, THEORY, "--"))
    for side, colour, style in sides:
        y, x = (place - side / 2 for place in field.middle)
        if colour == THEORY and (min(y, x) < -0.5 or max(y, x) + side > size - 0.5):
            continue
        axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=colour, linewidth=0.9, linestyle=style))
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)


def draw_maps(mapped: Sequence[Mapped], pictures: Pictures, targets: Sequence[int]) -> Figure:
    """Each picture, then every network's maps over it, under class and probability; several a line if they fit."""
    columns = [
        (letter, own, method) for letter, own in zip(ascii_uppercase, mapped, strict=False) for method in own.maps
    ]
    width = len(columns) + 1
    beside = max(1, min(len(pictures), PANELS // width))
    lines = -(-len(pictures) // beside)
    figure = build_figure(1.8 * width * beside, 2.15 * lines + 0.2)
    panels = figure.subplots(lines, width * beside, squeeze=False)
    classes = mapped[0].subject.classes
    for axes in panels.flat:
        axes.axis("off")
    for number, name in enumerate(pictures.names):
        first, *others = panels.flat[number * width : (number + 1) * width]
        pixels, target, label = pictures.pixels[number], targets[number], int(pictures.labels[number])
        first.imshow(pixels.transpose(1, 2, 0))
        truth = f"is {shorten(classes[label], 20)}" if label >= 0 else ""
        first.set_title(f"{shorten(name, 24)}\n{truth}", fontsize=7.5, color="#333333")
        for axes, (letter, own, method) in zip(others, columns, strict=True):
            axes.imshow(lay_over(pixels, own.maps[method][number]))
            who = f"{letter}, " if len(mapped) > 1 else ""
            sure = 100 * own.probabilities[number]
            title = f"{who}{METHOD_NAMES[method]}\n{shorten(classes[target], 18)} {sure:.0f} %"
            axes.set_title(title, fontsize=7.5, color="#333333" if label in (-1, target) else RED)
    return figure


def lay_over(pixels: Array, shown: Array) -> Array:
    """A map, its range stretched to [0, 1], in colours over the grey picture: uint8 [S, S, 3]."""
    span = float(np.ptp(shown))
    scaled = (shown - shown.min()) / span if span else np.zeros_like(shown)
    grey = np.repeat(pixels.mean(0)[..., None], 3, 2)
    colours = 255 * colormaps["turbo"](scaled)[..., :3]
    over: Array = np.round((1 - GREYED) * grey + GREYED * colours).astype(np.uint8)
    return over


def draw_branches(rows: Sequence[tuple[str, dict[str, Any]]]) -> Figure:
    """A line a network: each branch's share of norm and variance, and what is lost without it.

    Args:
        rows: title and what `measure_branches` found.
    """
    most = max(len(facts["blocks"]) for _, facts in rows)
    figure = build_figure(max(8.5, 1.6 * most + 4), 2.9 * len(rows))
    grid = figure.subplots(len(rows), 3, squeeze=False, sharey="col")
    for line, (title, facts) in zip(grid, rows, strict=True):
        names = [block["block"].removeprefix("stages.").removesuffix(".mixer") for block in facts["blocks"]] + ["every"]
        for axes, key, label in ((line[0], "norm_share", "share of L2 norm (%)"), (line[1], "logit_change", "")):
            draw_bars(axes, facts, key)
            style_axes(axes, title if axes is line[0] else "", "block of stages", label or "change of the logits (%)")
        draw_bars(line[2], facts, "difference")
        line[2].axhline(0, color="#666666", linewidth=0.8)
        style_axes(
            line[2],
            f"before {facts['top1']:.1f} %, {facts['images']} pictures",
            "block of stages",
            "change of top-1 (points)",
        )
        for axes in line:
            shown = names if axes is not line[0] else names[:-1]
            axes.set_xticks(range(len(shown)), shown, fontsize=8)
    known: dict[str, Any] = {}
    for axes in grid[:, 1]:
        handles, labels = axes.get_legend_handles_labels()
        known |= dict(zip(labels, handles, strict=True))
    labels = sorted(known, key=lambda label: (not label[-1].isdigit(), label))
    figure.legend(
        [known[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=len(labels),
        fontsize=8,
        frameon=False,
    )
    return figure


def draw_bars(axes: Axes, facts: dict[str, Any], key: str) -> None:
    """A group a block, a bar a branch and, where it is measured, one for all at once; then all of every block."""
    groups = [[line for line in (*block["branches"], block["all"]) if key in line] for block in facts["blocks"]]
    count = max(len(group) for group in groups)
    if key in facts["everything"]:
        groups.append([*({} for _ in range(count - 1)), facts["everything"]])
    width = 0.8 / count
    for number in range(count):
        lines = [group[number] if number < len(group) else {} for group in groups]
        values = [line.get(key, np.nan) for line in lines]
        dilation = lines[0].get("dilation")
        label = "all replaced" if dilation is None else f"dilation {dilation}"
        places = np.arange(len(groups)) + (number - (count - 1) / 2) * width
        errors = None
        if key == "difference":
            intervals = np.array([line.get("difference_interval", (np.nan, np.nan)) for line in lines])
            errors = np.abs(intervals.T - np.array(values))
        colour = GREY if dilation is None else COLOURS[(dilation - 2) % len(COLOURS)]
        axes.bar(
            places, values, width * 0.92, label=label, color=colour, yerr=errors,
            error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
        )  # fmt: skip
