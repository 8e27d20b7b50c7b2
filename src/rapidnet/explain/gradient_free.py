"""Which parts of a picture does an answer rest on, found by hiding them? For anything that answers; needs no torch.

Sources: Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014 (occlusion); Petsiuk et al.,
RISE, BMVC 2018 (arXiv 1806.07421, Sec. 3).
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from rapidnet.runtimes.network import Array

Predict = Callable[[Array], Array]
"""uint8 [B, 3, S, S] -> probabilities [B, C]."""
WINDOWS = 6
"""Side by side they fill the picture; neighbours overlap by half, and those at the border reach over it."""
CELLS = 7
"""Of a mask of RISE along a side, before it is enlarged."""
VISIBLE = 0.5


def occlude(predict: Predict, pixels: Array, target: int, fill: Array, batch_size: int) -> Array:
    """What the class loses where a window hides the picture: [S, S], each pixel the mean over the windows over it.

    Args:
        pixels: uint8 [3, S, S]; fill: uint8 [3, 1, 1], what a hidden pixel becomes.
    """
    size = pixels.shape[-1]
    windows = list_windows(size)
    hidden = np.repeat(pixels[None], len(windows), 0)
    for picture, window in zip(hidden, windows, strict=True):
        picture[(slice(None), *window)] = fill
    whole, *left = score(predict, np.concatenate([pixels[None], hidden]), target, batch_size)
    total, count = np.zeros((size, size)), np.zeros((size, size))
    for window, probability in zip(windows, left, strict=True):
        total[window] += whole - probability
        count[window] += 1
    return total / count


def list_windows(size: int) -> list[tuple[slice, slice]]:
    """Every pixel lies in at least one."""
    side = max(2, round(size / WINDOWS))
    step = max(1, side // 2)
    spans = [slice(max(0, at), min(size, at + side)) for at in range(step - side, size, step)]
    return [(rows, columns) for rows in spans for columns in spans]


def explain_by_masks(
    predict: Predict, pixels: Array, target: int, fill: Array, batch_size: int, masks: int, seed: int
) -> Array:
    """RISE: the mean of random masks, each weighed by the class's probability of what it leaves visible: [S, S].

    The same masks for every picture and network. Arguments as for `occlude`.
    """
    size = pixels.shape[-1]
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size))
    for start in range(0, masks, batch_size):
        made = np.stack([draw_mask(size, rng) for _ in range(min(batch_size, masks - start))])
        shown = made[:, None] * pixels + (1 - made[:, None]) * fill.astype(np.float64)
        probabilities = score(predict, np.round(shown).astype(np.uint8), target, batch_size)
        total += np.tensordot(probabilities, made, 1)
    return total / (masks * VISIBLE)


def draw_mask(size: int, rng: np.random.Generator) -> Array:
    """A coarse random grid of 0 and 1, enlarged smoothly, moved by a random part of a cell: [size, size] in [0, 1]."""
    cell = -(-size // CELLS)
    grid = (rng.random((CELLS + 1, CELLS + 1)) < VISIBLE).astype(np.float32)
    top, left = rng.integers(0, cell, 2)
    return enlarge(grid, (CELLS + 1) * cell)[top : top + size, left : left + size]


def draw_random_map(size: int, rng: np.random.Generator) -> Array:
    """A map that knows nothing, as smooth as those that hide parts: [size, size]."""
    return enlarge(rng.random((CELLS, CELLS)).astype(np.float32), size)


def enlarge(grid: Array, size: int) -> Array:
    """Bilinear: float32 [h, w] -> float64 [size, size]."""
    image = Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float64)


def score(predict: Predict, pixels: Array, target: int, batch_size: int) -> Array:
    """The class's probability in each picture: [N]."""
    parts = [predict(pixels[start : start + batch_size])[:, target] for start in range(0, len(pixels), batch_size)]
    return np.concatenate(parts).astype(np.float64)
