"""What does a phone in a hand do to a picture? Dusk, a wrong aspect ratio, a tilt."""

import math
from decimal import Decimal
from functools import cache

import numpy as np

from rapidnet.robustness.geometry import divide, fix, transform
from rapidnet.robustness.noise import WHITE
from rapidnet.robustness.randomness import ONE, Integers, Stream

READ_NOISE = 2
"""Standard deviation of what a sensor reads in the dark, in electrons."""


@cache
def tabulate_srgb() -> Integers:
    """The light of each of the 256 values, in units of 1 / 65535 of white. Source: IEC 61966-2-1."""
    shares = [value / WHITE for value in range(WHITE + 1)]
    light = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return np.array([round(65535 * value) for value in light], np.int64)


def dim(image: Integers, stream: Stream, electrons: int, brightness: float) -> Integers:
    """A photograph at dusk: white gives so many electrons, counted with shot and read noise, and is shown at
    `brightness` of its light, which the camera's gain could not restore."""
    table = tabulate_srgb()
    means = tuple(Decimal(electrons * int(light)) / 65535 for light in table)
    counted = stream.draw_poisson(means, image) * ONE + READ_NOISE * stream.draw_normal(*image.shape)
    light = divide(counted.clip(0) * fix(brightness) // ONE * 65535, electrons * ONE)
    # The value whose light is nearest.
    return np.searchsorted((table[1:] + table[:-1]) // 2, light, side="right").astype(np.int64)


def stretch(image: Integers, stream: Stream, factor: float) -> Integers:
    """One side `factor` times as long, its ends cut off: which side is drawn."""
    rows, columns = (1.0, 1 / factor) if int(stream.draw_below(2)) else (1 / factor, 1.0)
    return transform(image, (rows, 0, 0, columns))


def tilt(image: Integers, stream: Stream, degrees: float) -> Integers:
    """Turned about the middle to the left or to the right, mirrored beyond its borders."""
    angle = math.radians(degrees if int(stream.draw_below(2)) else -degrees)
    sine, cosine = math.sin(angle), math.cos(angle)
    return transform(image, (cosine, -sine, sine, cosine))
