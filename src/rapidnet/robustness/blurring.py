"""How is a picture blurred? By focus, frosted glass, motion, zooming. Lengths are pixels of a picture of 224 px."""

import numpy as np

from rapidnet.robustness.geometry import blur, build_disk, build_line, convolve, divide, transform
from rapidnet.robustness.randomness import Integers, Stream

REFERENCE = 224


def scale_length(image: Integers, length: float) -> float:
    """A length of a 224 px picture in pixels of this one."""
    return length * image.shape[0] / REFERENCE


def defocus(image: Integers, stream: Stream, radius: float) -> Integers:
    """The mean over a disk."""
    return convolve(image, build_disk(scale_length(image, radius)))


def look_through_glass(image: Integers, stream: Stream, sigma: float, reach: float, times: int) -> Integers:
    """A slight blur, each pixel replaced by one at most `reach` away so many times, and the blur again.

    Below 224 px at least the neighbours are within reach.
    """
    height, width = image.shape[:2]
    sigma, far = max(0.4, scale_length(image, sigma)), max(1, round(scale_length(image, reach)))
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    image = blur(image, sigma)
    for _ in range(times):
        dy, dx = stream.draw_below(2 * far + 1, 2, height, width) - far
        image = image[(rows + dy).clip(0, height - 1), (columns + dx).clip(0, width - 1)]
    return blur(image, sigma)


def move(image: Integers, stream: Stream, length: float) -> Integers:
    """The mean along a line, up to 45 degrees from level."""
    degrees = int(stream.draw_below(91)) - 45
    return convolve(image, build_line(scale_length(image, length), degrees))


def zoom(image: Integers, stream: Stream, largest: float, steps: int) -> Integers:
    """The mean of the picture and of so many enlargements of it about its middle, up to `largest` times."""
    total = image.copy()
    for step in range(1, steps + 1):
        factor = steps / (steps + (largest - 1) * step)
        total += transform(image, (factor, 0, 0, factor))
    return divide(total, steps + 1)
