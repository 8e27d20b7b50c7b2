"""How do latency, throughput and the cost of training grow with batch, image size and threads?"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rapidnet.errors import UserError
from rapidnet.evaluation.pictures import GREY, build_figure, style_axes

Row = Mapping[str, Any]
DASHED, DOTTED = (0, (4, 3)), (0, (1, 1.5))


@dataclass(frozen=True)
class Varied:
    """What changes along a line: the row's key, its name on the axis, and the work of a call as it grows.

    last: whether the line of work in proportion goes through the largest value, else the smallest.
    """

    key: str
    label: str
    work: Callable[[Row], float]
    last: bool


@dataclass(frozen=True)
class Line:
    """Rows of one network in one runtime and precision, ordered by what varies; `held` says what does not."""

    label: str
    held: str
    rows: list[Row]


VARIED = (
    Varied("batch", "images per call", lambda row: float(row["batch"]), last=False),
    Varied(
        "image_size", "image size (px)", lambda row: float(row.get("gmacs") or row["image_size"] ** 2), last=True
    ),
    Varied("threads", "threads", lambda row: 1 / row["threads"], last=False),
)  # fmt: skip


def draw_scaling(rows: Sequence[Row]) -> Figure:
    """A column of panels for each of batch, size and threads that was varied, and one for training if it was measured.

    Above, the latency of a call, below, the images per second; of training, images per second and peak memory. Dashed:
    what would be in proportion to the work, by MACs where the size varies.

    Args:
        rows: of study "bench" and "training_cost"; those without figures, since the machine was unsteady, are left out.
    Raises:
        UserError: nothing was measured at two values of anything.
    """
    steady = [row for row in rows if row["study"] == "bench" and row.get("latency_ms_p50")]
    columns = [(varied, lines) for varied in VARIED if (lines := collect_lines(steady, varied.key))]
    training = collect_training(rows)
    count = len(columns) + bool(training)
    if not count:
        raise UserError(
            "there is nothing to draw: no network has figures at two batches, sizes or numbers of threads; "
            "measure with such as --batch 1,2,4"
        )
    figure = build_figure(4.6 * count, 7.6)
    grid = figure.subplots(2, count, squeeze=False)
    labels = list(dict.fromkeys(line.label for _, lines in columns for line in lines))
    colours = {label: colormaps["tab10"](index % 10) for index, label in enumerate(labels)}
    for column, (varied, lines) in enumerate(columns):
        for axes, value, title in ((grid[0, column], latency, "median latency of a call (ms)"),
                                   (grid[1, column], images_per_s, "images/s")):  # fmt: skip
            draw_lines(axes, varied, lines, colours, value, title)
    if training:
        draw_training(grid[0, -1], training, "images_per_s", "training, images/s")
        grid[0, -1].legend(fontsize=7, frameon=False)
        draw_training(grid[1, -1], training, "peak_mb", "training, peak memory (GB)", 1e-3)
    handles = [Line2D([], [], color=colours[label], marker="o", markersize=4, label=label) for label in labels]
    if columns:
        handles.append(Line2D([], [], color=GREY, linestyle=DASHED, label="in proportion to the work"))
        figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside lower left", ncols=min(4, len(handles)))
    return figure


def collect_lines(rows: Sequence[Row], key: str) -> list[Line]:
    """One line for each (network, runtime, precision) that has two values of `key` with all else alike.

    Of several such lines the one with the most values; else the smallest batch, the size that most rows are of, the
    fewest threads.
    """
    groups: dict[tuple[str, ...], dict[tuple[int, ...], list[Row]]] = {}
    for row in rows:
        batch, size, threads = (0 if name == key else row[name] for name in ("batch", "image_size", "threads"))
        held = groups.setdefault((row["name"], row["runtime"], row["precision"]), {})
        held.setdefault((batch, size, threads), []).append(row)
    usual = Counter(row["image_size"] for row in rows)
    lines = []
    for (name, runtime, precision), held in groups.items():
        (batch, size, threads), chosen = min(
            held.items(), key=lambda item: (-len(item[1]), item[0][0], -usual[item[0][1]], item[0][2])
        )
        if len(chosen) > 1:
            place = [f"{batch} image{'s' * (batch > 1)} per call"] if batch else []
            place += [f"{size} px"] if size else []
            place += [f"{threads} thread{'s' * (threads > 1)}"] if threads else []
            ordered = sorted(chosen, key=lambda row: row[key])
            lines.append(Line(f"{name}, {runtime} {precision}", ", ".join(place), ordered))
    return lines


def latency(row: Row, work: float = 1.0) -> float:
    """Median milliseconds of a call, as many times as `work` says."""
    return float(row["latency_ms_p50"]) * work


def images_per_s(row: Row, work: float = 1.0) -> float:
    return float(row["batch"] / latency(row, work) * 1e3)


def draw_lines(
    axes: Axes, varied: Varied, lines: Sequence[Line], colours: Mapping[str, Any],
    value: Callable[[Row, float], float], title: str,
) -> None:  # fmt: skip
    for line in lines:
        places = [row[varied.key] for row in line.rows]
        axes.plot(places, [value(row, 1.0) for row in line.rows], "o-", color=colours[line.label], markersize=4)
        anchor = line.rows[-1 if varied.last else 0]
        # The anchor's latency, grown with the work; images per call are the row's own.
        grown = [dict(anchor) | {"batch": row["batch"]} for row in line.rows]
        work = [varied.work(row) / varied.work(anchor) for row in line.rows]
        expected = [value(row, share) for row, share in zip(grown, work, strict=True)]
        axes.plot(places, expected, color=colours[line.label], linewidth=0.9, linestyle=DASHED, zorder=1)
    held = "; ".join(dict.fromkeys(line.held for line in lines))
    style_axes(axes, held, varied.label, title)
    axes.set_xticks(sorted({row[varied.key] for line in lines for row in line.rows}))
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def collect_training(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """(network, precision) -> its training steps by image size, where there are two sizes or more."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["study"] == "training_cost" and row.get("images_per_s"):
            groups.setdefault((row["model"], row["precision"]), []).append(row)
    ordered = {key: sorted(group, key=lambda row: row["image_size"]) for key, group in groups.items()}
    return {key: group for key, group in ordered.items() if len({row["image_size"] for row in group}) > 1}


def draw_training(
    axes: Axes, lines: Mapping[tuple[str, str], Sequence[Row]], key: str, title: str, factor: float = 1.0
) -> None:
    """A colour for each network, dotted in fp32."""
    models = list(dict.fromkeys(model for model, _ in lines))
    for (model, precision), rows in lines.items():
        axes.plot(
            [row["image_size"] for row in rows], [row[key] * factor for row in rows], "o", markersize=4,
            color=colormaps["Dark2"](models.index(model) % 8), linestyle=DOTTED if precision == "fp32" else "-",
            label=f"{model}, {precision}",
        )  # fmt: skip
    first = next(iter(lines.values()))[0]
    held = f"batch {first['batch']}, {first['threads']} thread{'s' * (first['threads'] > 1)}"
    style_axes(axes, held, "image size (px)", title)
    axes.set_xticks(sorted({row["image_size"] for rows in lines.values() for row in rows}))
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
