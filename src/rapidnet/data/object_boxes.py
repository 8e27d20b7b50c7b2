"""Which boxes of a file can be used? Those with an area inside their picture; what sticks out is clipped."""

import math
from collections.abc import Sequence

from rapidnet.data.annotation_report import AnnotationReport

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""

ROUNDING = 1.0
"""Annotation tools round: a box that sticks out by less than so many pixels is clipped and counted, and no flaw."""


def check_box(box: Sequence[float], height: int, width: int, where: str, report: AnnotationReport) -> Box | None:
    """The box clipped to its picture, or None where it cannot be used; what is wrong goes into the report.

    A box of one pixel, or less, is a box.
    """
    if not all(math.isfinite(edge) for edge in box):
        report.add("malformed annotation", where, f"the box {_write(box)} holds what is no number")
        return None
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        kind = "inverted" if right < left or bottom < top else "without area"
        report.add("empty box", where, f"the box {_write(box)} is {kind}")
        return None
    clipped = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        report.add("box outside", where, f"the box {_write(box)} lies wholly outside the {width}x{height} image")
        return None
    excess = max(abs(inside - edge) for inside, edge in zip(clipped, box, strict=True))
    if excess >= ROUNDING:
        report.add("box outside", where, f"the box {_write(box)} leaves the {width}x{height} image by {excess:.1f} px")
    elif excess:
        report.counts["boxes clipped by less than a pixel"] += 1
    return clipped


def _write(box: Sequence[float]) -> str:
    return "(" + ", ".join(f"{edge:g}" for edge in box) + ")"
