"""How is a picture made noisy? By an amplifier, by too few photons, by broken pixels."""

from decimal import Decimal

import numpy as np

from rapidnet.robustness.geometry import divide, fix
from rapidnet.robustness.randomness import ONE, Integers, Stream

WHITE = 255


def add_gaussian(image: Integers, stream: Stream, sigma: float) -> Integers:
    """Normal noise of `sigma` (a share of white), drawn for each channel of each pixel."""
    return image + divide(fix(WHITE * sigma) * stream.draw_normal(*image.shape), ONE * ONE)


def add_shot(image: Integers, stream: Stream, photons: int) -> Integers:
    """Poisson noise, as if white were so many photons."""
    means = tuple(Decimal(photons * value) / WHITE for value in range(WHITE + 1))
    return divide(WHITE * stream.draw_poisson(means, image), photons)


def add_impulses(image: Integers, stream: Stream, share: float) -> Integers:
    """A share of the channels of pixels becomes black or white, half each."""
    drawn = stream.draw_bits(16, *image.shape)
    hit = drawn < fix(share)
    return np.where(hit, WHITE * (drawn % 2), image)
