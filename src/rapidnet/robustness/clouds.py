"""How are clouds made from nothing but integers? The plasma of fog and frost: random numbers at ever finer scales."""

import numpy as np

from rapidnet.robustness.geometry import enlarge
from rapidnet.robustness.randomness import ONE, Integers, Stream


def draw_clouds(stream: Stream, size: int, roughness: float, coarsest: int = 2) -> Integers:
    """[size, size] between 0 and ONE: value noise whose amplitude falls by `roughness` from one octave to the next.

    Source: the plasma fractal of Hendrycks & Dietterich, ICLR 2019, Sec. 4.1 names the look, not the method; this is
    a sum of bilinear octaves, not diamond-square.

    Args:
        roughness: within (0, 1); more makes finer clouds.
        coarsest: cells a side of the first octave.
    """
    total, amplitude, cells = np.zeros((size, size, 1), np.int64), ONE, coarsest
    while cells < 2 * size and amplitude > 0:
        values = stream.draw_bits(16, cells + 1, cells + 1, 1)
        total += amplitude * enlarge(values, size, size, smooth=True) >> 16
        amplitude, cells = int(amplitude * roughness), cells * 2
    low, high = int(total.min()), int(total.max())
    return (total - low)[..., 0] * ONE // max(1, high - low)
