"""How are maps resized bilinearly without torch? As its `interpolate` does with align_corners=False."""

import numpy as np

from rapidnet.runtimes.network import Array


def resize_bilinear(maps: Array, height: int, width: int) -> Array:
    """[C, h, w] -> float32 [C, height, width]: each target pixel's centre, between the four source pixels around it."""
    top, bottom, down = find_neighbours(maps.shape[1], height)
    left, right, across = find_neighbours(maps.shape[2], width)
    maps = maps.astype(np.float32)
    rows = maps[:, top] * (1 - down)[:, None] + maps[:, bottom] * down[:, None]
    resized: Array = rows[:, :, left] * (1 - across) + rows[:, :, right] * across
    return resized


def find_neighbours(source: int, target: int) -> tuple[Array, Array, Array]:
    """For each of `target` places along a side of `source` pixels: those before and behind, and the latter's share.

    Beyond the outermost centres the border's pixel counts alone.
    """
    step, half = np.float32(source / target), np.float32(0.5)
    places = np.maximum((np.arange(target, dtype=np.float32) + half) * step - half, 0)
    before = np.minimum(places.astype(np.int64), source - 1)
    return before, np.minimum(before + 1, source - 1), (places - before).astype(np.float32)
