"""What does accuracy cost? Top-1 against latency: measured here, and apart from it, as published for each phone."""

from collections.abc import Mapping, Sequence
from typing import Any

from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rapidnet.benchmark.peers import Peer
from rapidnet.evaluation.pictures import BLUE, GREY, RED, build_figure, style_axes

OURS = "rapidnet"


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
        rows: of study "bench", with latency_ms_p50; those without a published accuracy or a figure are left out.
        peers: published accuracy and latency.
    """
    accuracy = {peer.timm_name or peer.name: peer.top1_percent for peer in peers}
    panels: dict[str, list[tuple[str, float, float]]] = {}
    for row in rows:
        if row.get("latency_ms_p50") and row["model"] in accuracy:
            place = f"{row['runtime']} {row['precision']}, {row['threads']} thread(s)"
            title = f"measured: {place}\n{row['environment']['cpu']}"
            panels.setdefault(title, []).append((row["model"], row["latency_ms_p50"], accuracy[row["model"]]))
    for peer in peers:
        panels.setdefault(f"published: {peer.device}", []).append((peer.name, peer.latency_ms, peer.top1_percent))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = build_figure(5.2 * columns, 4.4 * lines)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (title, points) in zip(grid.flat, panels.items(), strict=False):
        draw_panel(axes, points, title)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    return figure


def draw_panel(axes: Axes, points: Sequence[tuple[str, float, float]], title: str) -> None:
    """Names beside their points; those on the front joined by a line."""
    front = find_front([(latency, accuracy) for _, latency, accuracy in points])
    axes.plot([points[i][1] for i in front], [points[i][2] for i in front], color=GREY, linewidth=1, zorder=1)
    for name, latency, accuracy in points:
        ours = name.startswith(OURS)
        axes.plot([latency], [accuracy], "o", color=RED if ours else BLUE, markersize=7 if ours else 5, zorder=3)
    label = "median latency (ms)" if title.startswith("measured") else "latency (ms)"
    style_axes(axes, title, label, "ImageNet top-1 (%), published")
    axes.margins(0.16)
    place_names(axes, points)


def place_names(axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Each name near its point, moved away from points and other names, with a thin line where it had to go far."""
    texts = [
        axes.text(
            latency, accuracy, name, fontsize=7, color=RED if name.startswith(OURS) else "#333333",
            weight="bold" if name.startswith(OURS) else "normal",
        )
        for name, latency, accuracy in points
    ]  # fmt: skip
    adjust_text(
        texts, x=[point[1] for point in points], y=[point[2] for point in points], ax=axes,
        arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5}, expand=(1.1, 1.5),
    )  # fmt: skip
