"""What do the corruptions look like, and what do they do to accuracy?"""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from rapidnet.evaluation.pictures import build_figure
from rapidnet.images import prepare_image
from rapidnet.robustness.corruptions import KINDS, SEVERITIES, corrupt


def draw_accuracy(rows: Sequence[dict[str, Any]]) -> Figure:
    """A map for each subject: kinds by severities, colours and figures the accuracy in percent."""
    kinds, severities = list(rows[0]["kinds"]), [str(severity) for severity in rows[0]["severities"]]
    figure = build_figure(2.2 + 2.9 * len(rows), 1.4 + 0.28 * len(kinds))
    for number, (axes, row) in enumerate(zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True)):
        values = np.array([[row["kinds"][kind]["severities"][s]["top1"] for s in severities] for kind in kinds])
        axes.imshow(values, cmap=colormaps["viridis"], vmin=0, vmax=100, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=8, color="w" if value < 60 else "k")
        axes.set_xticks(range(len(severities)), severities, fontsize=8)
        axes.set_yticks(range(len(kinds)), kinds if not number else [""] * len(kinds), fontsize=8)
        axes.tick_params(length=0)
        axes.set_xlabel("severity", fontsize=9)
        clean = f", clean {row['clean']['top1']:.1f}" if row["clean"] else ""
        letter = f"{ascii_uppercase[number]}: " if len(rows) > 1 else ""
        axes.set_title(f"{letter}{row['format']} {row['precision']}{clean}", fontsize=9)
    figure.suptitle(f"top-1 (%) on {rows[0]['images']} pictures", fontsize=10)
    return figure


def draw_gallery(image: Image.Image, size: int = 224, seed: int = 0) -> Figure:
    """Every kind at every severity of one photograph, the photograph itself first."""
    pixels = prepare_image(image, size, 0.95, "bicubic")
    figure = build_figure(1.35 * (2 * len(SEVERITIES) + 1.6), 1.38 * (len(KINDS) // 2 + 1))
    grid = figure.subplots(len(KINDS) // 2 + 1, 2 * len(SEVERITIES))
    for axes in grid.flat:
        axes.axis("off")
    grid[0, 0].imshow(pixels.transpose(1, 2, 0))
    grid[0, 0].set_title("clean", fontsize=9, loc="left")
    half = len(KINDS) // 2
    for number, kind in enumerate(KINDS):
        for severity in SEVERITIES:
            axes = grid[1 + number % half, severity - 1 + number // half * len(SEVERITIES)]
            axes.imshow(corrupt(pixels, kind, severity, 0, seed).transpose(1, 2, 0))
            axes.set_title(f"{kind} {severity}" if severity == 1 else str(severity), fontsize=9, loc="left")
    return figure
