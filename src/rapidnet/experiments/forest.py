"""What does a study look like? A forest plot: every change's difference with its interval, around none."""

from typing import Any

from matplotlib.figure import Figure

from rapidnet.config.experiments import BASELINE
from rapidnet.evaluation.pictures import BLUE, GREY, ORANGE, RED, build_figure, shorten, style_axes

COLOURS = {"better": BLUE, "worse": RED, "open": GREY, "too few seeds": ORANGE}


def draw_forest(rows: list[dict[str, Any]]) -> Figure:
    """Differences to the baseline from the largest to the smallest, coloured by what may be said of them.

    A seed of its own stands as a point without an interval.

    Args:
        rows: from `compare_changes`.
    Raises:
        ValueError: no change among them.
    """
    changes = sorted((row for row in rows if row["change"] != BASELINE), key=lambda row: row["difference"])
    if not changes:
        raise ValueError("there is no change to draw")
    base = next(row for row in rows if row["change"] == BASELINE)
    figure = build_figure(9, 1.6 + 0.36 * len(changes))
    axes = figure.subplots()
    axes.axvline(0, color="#333333", linewidth=1)
    seen = []
    for place, row in enumerate(changes):
        colour, label = COLOURS[row["claim"]], row["claim"] if row["claim"] not in seen else None
        seen.append(row["claim"])
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot([row["difference"]], [place], "o", color=colour, markersize=6, label=label)
    style_axes(axes, title(base, changes), f"difference to the baseline in {base['measure']} (points), 95% interval")
    axes.set_yticks(range(len(changes)), [shorten(row["change"], 40) for row in changes], fontsize=9)
    axes.set_ylim(-0.7, len(changes) - 0.3)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(changes)), [cost(row, base) for row in changes], fontsize=8, color="#444444")
    right.spines[["right"]].set_visible(False)
    right.tick_params(length=0)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    return figure


def title(base: dict[str, Any], changes: list[dict[str, Any]]) -> str:
    counts = sorted({len(row["seeds"]) for row in changes})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"study {base['name']}: baseline {base['mean']:.2f} %, {seeds} seeds"


def cost(row: dict[str, Any], base: dict[str, Any]) -> str:
    """A folded network's size beside the baseline's."""
    more = [
        f"{100 * (row[key] / base[key] - 1):+.0f} % {word}"
        for key, word in (("params_m", "params"), ("macs_m", "MACs"))
    ]
    return ", ".join(more)
