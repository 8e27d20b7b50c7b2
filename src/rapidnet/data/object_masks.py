"""How does an outline in a file become pixels, and back? COCO's polygons and run lengths, decoded within bounds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

Polygons = tuple[NDArray[np.float64], ...]
"""Corners x0, y0, x1, y1, ... in pixels; a pixel inside any of them belongs to the object."""
RunLengths = bytes
"""COCO's compressed run lengths over the columns of a mask of the picture's size."""
Shape = Polygons | RunLengths

FAR = 10
"""A corner farther outside than so many times the picture's longer side is no outline: drawing it takes memory."""
MAX_MASK_BYTES = 1 << 30
"""The masks of one picture together, a byte a pixel; more is refused before they are drawn."""


class OutlineError(ValueError):
    """An outline that is none; `empty` where there is nothing to draw."""

    def __init__(self, why: str, empty: bool = False) -> None:
        super().__init__(why)
        self.empty = empty


def read_shape(segmentation: Any, height: int, width: int) -> Shape:
    """A COCO `segmentation` (polygons, compressed or plain run lengths), checked against the picture's size.

    Raises:
        OutlineError: nothing to draw, or no outline.
    """
    if isinstance(segmentation, dict):
        return _read_runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise OutlineError(f"the outline is {type(segmentation).__name__}, neither polygons nor run lengths")
    polygons = tuple(_read_polygon(corners, FAR * max(height, width)) for corners in segmentation)
    drawable = tuple(corners for corners in polygons if len(corners) >= 6)
    if not drawable:
        raise OutlineError("the outline has no polygon of three corners", empty=True)
    return drawable


def draw_shapes(shapes: Sequence[Shape], height: int, width: int) -> NDArray[np.bool_]:
    """Masks [N, height, width].

    Raises:
        OutlineError: more pixels than MAX_MASK_BYTES, or run lengths of another size.
    """
    if len(shapes) * height * width > MAX_MASK_BYTES:
        raise OutlineError(f"{len(shapes)} masks of {width}x{height} pixels are more than {MAX_MASK_BYTES} bytes")
    masks = np.zeros((len(shapes), height, width), dtype=np.bool_)
    for index, shape in enumerate(shapes):
        masks[index] = coco_mask.decode(_to_runs(shape, height, width))
    return masks


def encode_mask(mask: NDArray[Any]) -> dict[str, Any]:
    """A mask [H, W] as COCO's run lengths: {"size": [H, W], "counts": bytes}."""
    runs: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return runs


def measure_shape(shape: Shape, height: int, width: int) -> float:
    """How many pixels an outline covers."""
    return float(coco_mask.area(_to_runs(shape, height, width)))


def _to_runs(shape: Shape, height: int, width: int) -> dict[str, Any]:
    if isinstance(shape, bytes):
        return {"size": [height, width], "counts": shape}
    runs: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(list(shape), height, width))
    return runs


def _read_polygon(corners: Any, reach: float) -> NDArray[np.float64]:
    try:
        points = np.asarray(corners, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise OutlineError("a polygon is no list of numbers") from None
    if points.ndim != 1 or len(points) % 2:
        raise OutlineError("a polygon is no list of x and y in turn")
    if not np.isfinite(points).all() or (len(points) and np.abs(points).max() > reach):
        raise OutlineError(f"a corner of a polygon is not a number or farther than {reach:.0f} pixels away")
    return points


def _read_runs(segmentation: dict[str, Any], height: int, width: int) -> RunLengths:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise OutlineError(f"the mask's size is {size}, the image is {[height, width]} (height, width)")
    if isinstance(counts, list):
        if not all(isinstance(count, int) and 0 <= count <= height * width for count in counts):
            raise OutlineError("a run length is no whole number within the mask")
        if math.fsum(counts) != height * width:
            raise OutlineError(f"the run lengths add up to {math.fsum(counts):.0f} pixels, not {height * width}")
        counts = coco_mask.frPyObjects({"size": size, "counts": counts}, height, width)["counts"]
    counts = counts.encode() if isinstance(counts, str) else counts
    if not isinstance(counts, bytes):
        raise OutlineError("the mask has no run lengths")
    try:
        if not coco_mask.decode({"size": size, "counts": counts}).any():
            raise OutlineError("the mask has no pixel", empty=True)
    except (RuntimeError, ValueError) as error:
        if isinstance(error, OutlineError):
            raise
        raise OutlineError(f"the run lengths cannot be read ({str(error).rstrip('.')})") from None
    return counts
