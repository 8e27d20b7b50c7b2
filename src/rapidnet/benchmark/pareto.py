"""What does accuracy cost? Top-1 against latency: measured here, and apart from it, as published for each phone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from rapidnet.benchmark.peers import Peer
from rapidnet.evaluation.pictures import BLUE, GREY, RED, build_figure, style_axes

OURS = "rapidnet"
PUBLISHED_SIZE = 224
"""What goes without saying; other sizes are written behind the name."""
COLUMNS = 2
CROWDED = 12
"""A panel of more names takes the whole width."""
HEIGHT, CROWDED_HEIGHT = 4.4, 7.0


@dataclass(frozen=True)
class Panel:
    """One picture of several: points (name, milliseconds, percent), and the names of those that have no latency."""

    title: str
    label: str
    points: list[tuple[str, float, float]] = field(default_factory=list)
    unsteady: list[str] = field(default_factory=list)


def find_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (latency, accuracy) that no other beats in one without losing in the other, fastest first.

    Of equal points all are kept.
    """
    front = [
        index for index, (latency, accuracy) in enumerate(points)
        if not any(
            other <= latency and better >= accuracy and (other < latency or better > accuracy)
            for other, better in points
        )
    ]  # fmt: skip
    return sorted(front, key=lambda index: points[index])


def draw_pareto(rows: Sequence[Mapping[str, Any]], peers: Sequence[Peer]) -> Figure:
    """A panel for each runtime measured here, then one for each phone of the published figures.

    Accuracy is the published one in all of them: only the latency of the first panels is measured.

    Args:
        rows: of study "bench". Only those of one image at the size of the published accuracy are shown; those without
            a latency, since the machine was unsteady, are named.
        peers: published accuracy and latency.
    """
    panels = [*collect_measured(rows, peers), *collect_published(peers)]
    lines = arrange(panels)
    heights = [CROWDED_HEIGHT if is_crowded(line[0]) else HEIGHT for line in lines]
    figure = build_figure(7 * COLUMNS, sum(heights))
    grid = figure.add_gridspec(len(lines), COLUMNS, height_ratios=heights)
    drawn = [
        (draw_panel(figure.add_subplot(grid[row, :] if is_crowded(panel) else grid[row, column]), panel), panel)
        for row, line in enumerate(lines) for column, panel in enumerate(line)
    ]  # fmt: skip
    # Names are moved by what overlaps on paper, so the layout has to be final.
    figure.draw_without_rendering()
    for axes, panel in drawn:
        place_names(axes, panel.points)
    return figure


def is_crowded(panel: Panel) -> bool:
    return len(panel.points) > CROWDED


def arrange(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Lines of panels in their order: a crowded one for itself, others side by side."""
    lines: list[list[Panel]] = []
    for panel in panels:
        if lines and len(lines[-1]) < COLUMNS and not is_crowded(panel) and not is_crowded(lines[-1][0]):
            lines[-1].append(panel)
        else:
            lines.append([panel])
    return lines


def collect_measured(rows: Sequence[Mapping[str, Any]], peers: Sequence[Peer]) -> list[Panel]:
    """A panel for each (runtime, precision, threads, processor) in which anything got a latency."""
    known = {peer.timm_name or peer.name: peer for peer in peers}
    panels: dict[str, Panel] = {}
    for row in rows:
        peer = known.get(row["model"])
        if peer is None or (row["batch"], row["image_size"]) != (1, peer.image_size):
            continue
        threads = f"{row['threads']} thread" + "s" * (row["threads"] > 1)
        title = f"measured: {row['runtime']} {row['precision']}, {threads}, one image\n{row['environment']['cpu']}"
        panel = panels.setdefault(title, Panel(title, "median latency (ms)"))
        name = write_name(row["model"], peer)
        if row.get("latency_ms_p50"):
            panel.points.append((name, row["latency_ms_p50"], peer.top1_percent))
        else:
            panel.unsteady.append(name)
    return [panel for panel in panels.values() if panel.points]


def collect_published(peers: Sequence[Peer]) -> list[Panel]:
    panels: dict[str, Panel] = {}
    for peer in peers:
        title = f"published: {peer.device}"
        panel = panels.setdefault(title, Panel(title, "latency (ms)"))
        panel.points.append((write_name(peer.name, peer), peer.latency_ms, peer.top1_percent))
    return list(panels.values())


def write_name(name: str, peer: Peer) -> str:
    return name if peer.image_size == PUBLISHED_SIZE else f"{name} ({peer.image_size} px)"


def draw_panel(axes: Axes, panel: Panel) -> Axes:
    """The points, those on the front joined by a line."""
    points = panel.points
    front = find_front([(latency, accuracy) for _, latency, accuracy in points])
    axes.plot([points[i][1] for i in front], [points[i][2] for i in front], color=GREY, linewidth=1, zorder=1)
    for name, latency, accuracy in points:
        ours = name.startswith(OURS)
        axes.plot([latency], [accuracy], "o", color=RED if ours else BLUE, markersize=7 if ours else 5, zorder=5)
    unsteady = f"\nunsteady here, so without latency: {', '.join(panel.unsteady)}" if panel.unsteady else ""
    style_axes(axes, panel.title, f"{panel.label}{unsteady}", "ImageNet top-1 (%), published")
    latencies = [latency for _, latency, _ in points]
    if max(latencies) > 3 * min(latencies):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)))
        axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(0.05 if is_crowded(panel) else 0.12, 0.1)
    return axes


def place_names(axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Each name near its point, moved away from points and other names, with a thin line where it had to go far."""
    texts = [
        axes.text(
            latency, accuracy, name, fontsize=8, color=RED if name.startswith(OURS) else "#333333",
            weight="bold" if name.startswith(OURS) else "normal", in_layout=False, zorder=4,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
        for name, latency, accuracy in points
    ]  # fmt: skip
    adjust_text(
        texts, x=[point[1] for point in points], y=[point[2] for point in points], ax=axes,
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5}, expand=(1.15, 1.6),
    )  # fmt: skip
