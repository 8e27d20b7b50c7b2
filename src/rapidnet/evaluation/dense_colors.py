"""Which colour has a class in pictures and masks? The same in all of them, and far from its neighbours'."""

import colorsys

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

IGNORED_COLOR = (255, 255, 255)
GOLDEN = 0.618034
"""Hues this far apart, a share of the circle, stay apart for any number of classes."""


def pick_colors(count: int) -> NDArray[np.uint8]:
    """RGB of each class, uint8 [count, 3]: matplotlib's qualitative colours, beyond twenty hues by the golden ratio."""
    strong_then_pale = [*range(0, 20, 2), *range(1, 20, 2)]
    colors = [tuple(colormaps["tab20"](place)[:3]) for place in strong_then_pale[:count]]
    tones = ((0.75, 0.95), (0.55, 0.75), (0.95, 0.7))
    for index in range(count - len(colors)):
        colors.append(colorsys.hsv_to_rgb((0.02 + index * GOLDEN) % 1, *tones[index % 3]))
    return (np.array(colors).reshape(-1, 3) * 255).round().astype(np.uint8)
