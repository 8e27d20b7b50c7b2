"""How are maps resized, and masks put into their boxes, without torch? As it interpolates with align_corners=False."""

import numpy as np

from rapidnet.runtimes.network import Array


def resize_bilinear(maps: Array, height: int, width: int, strip: slice = slice(None)) -> Array:
    """[C, h, w] -> float32 [C, height, width]: each target pixel's centre, between the four source pixels around it.

    strip: which of the target's rows to compute.
    """
    top, bottom, down = (values[strip] for values in find_neighbours(maps.shape[1], height))
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


def paste_masks(masks: Array, boxes: Array, size: tuple[int, int]) -> Array:
    """Masks [N, S, S] within boxes [N, 4] -> float32 [N, H, W]: each pixel's centre, interpolated; 0 outside the box.

    As the networks do it (`models.detection_overrides.paste_masks`).
    """
    canvas = np.zeros((len(masks), *size), dtype=np.float32)
    for i, (mask, (left, top, right, bottom)) in enumerate(zip(masks, boxes.astype(np.float32), strict=True)):
        first, rows = spread(top, bottom, size[0], mask.shape[0])
        start, columns = spread(left, right, size[1], mask.shape[1])
        canvas[i, first : first + len(rows), start : start + len(columns)] = rows @ mask.astype(np.float32) @ columns.T
    return canvas


def spread(low: float, high: float, side: int, cells: int) -> tuple[int, Array]:
    """The first of the pixels around a range, and how much of each of its cells each of them shows: [pixels, cells]."""
    first, last = max(int(np.floor(low)) - 1, 0), min(int(np.ceil(high)) + 1, side)
    centers = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    places = (centers - low) / (high - low) * np.float32(cells) - np.float32(0.5)
    shares: Array = np.maximum(1 - np.abs(places[:, None] - np.arange(cells, dtype=np.float32)), 0)
    return first, shares
