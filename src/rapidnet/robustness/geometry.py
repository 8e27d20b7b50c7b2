"""How are pictures blurred, shrunk and bent in integers, so that every machine gets the same bits?

A picture is int64 [H, W, C]; positions, kernels and weights are fixed-point numbers in units of 1 / ONE. Sums of
integers are exact in any order, which those of floats are not.
"""

import math

import numpy as np

from rapidnet.robustness.randomness import ONE, Integers

GRID = 16
"""Subpixels in each direction that a kernel's weight is counted on."""


def divide(values: Integers, by: int) -> Integers:
    """Values over a positive number, rounded to the nearest, halves up."""
    return (2 * values + by) // (2 * by)


def fix(value: float) -> int:
    """A number in units of 1 / ONE."""
    return round(value * ONE)


def convolve(image: Integers, kernel: Integers) -> Integers:
    """Each pixel the mean of its neighbours, weighted by an odd-sided kernel [h, w]; borders are mirrored."""
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    height, width = image.shape[:2]
    padded = np.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="symmetric")
    total = np.zeros_like(image)
    for y, x in zip(*np.nonzero(kernel), strict=True):
        total += kernel[y, x] * padded[y : y + height, x : x + width]
    return divide(total, int(kernel.sum()))


def build_disk(radius: float) -> Integers:
    """A disk of `radius` pixels, its border weighted by the share of each pixel that it covers."""
    reach = math.ceil(radius)
    middles = np.arange(-reach * GRID, (reach + 1) * GRID) * 2 + 1 - GRID
    inside = middles[:, None] ** 2 + middles**2 <= round((2 * GRID * radius) ** 2)
    side = 2 * reach + 1
    return inside.reshape(side, GRID, side, GRID).sum((1, 3)).astype(np.int64)


def build_line(length: float, degrees: float) -> Integers:
    """A line of `length` pixels through the middle, at an angle against the rows."""
    reach = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.int64)
    points = max(2, math.ceil(length) * GRID)
    dy, dx = fix(length * math.sin(math.radians(degrees))), fix(length * math.cos(math.radians(degrees)))
    for point in range(points):
        # Points lie in the middle of equal pieces of the line.
        y, x = (reach * ONE + d * (2 * point + 1 - points) // (2 * points) for d in (dy, dx))
        (top, down), (left, right) = divmod(y, ONE), divmod(x, ONE)
        for row, weight in ((top, ONE - down), (top + 1, down)):
            kernel[row, left] += weight * (ONE - right) >> 16
            kernel[row, left + 1] += weight * right >> 16
    return kernel


def build_gaussian(sigma: float) -> Integers:
    """One row [1, w] of a Gaussian of standard deviation `sigma` pixels, cut at three of them."""
    reach = max(1, math.ceil(3 * sigma))
    return np.array([[fix(math.exp(-0.5 * (x / sigma) ** 2)) for x in range(-reach, reach + 1)]], np.int64)


def blur(image: Integers, sigma: float) -> Integers:
    """A Gaussian blur of `sigma` pixels."""
    row = build_gaussian(sigma)
    return convolve(convolve(image, row), row.T)


def sample(image: Integers, rows: Integers, columns: Integers) -> Integers:
    """The values between pixels at positions [h, w] (0 is the middle of the first pixel), bilinear, mirrored outside.

    The image's values must stay below 2**30.
    """
    height, width = image.shape[:2]
    (top, down), (left, right) = np.divmod(rows, ONE), np.divmod(columns, ONE)
    y0, y1, x0, x1 = mirror(top, height), mirror(top + 1, height), mirror(left, width), mirror(left + 1, width)
    down, right = down[..., None], right[..., None]
    upper = image[y0, x0] * (ONE - right) + image[y0, x1] * right
    lower = image[y1, x0] * (ONE - right) + image[y1, x1] * right
    # Two factors of ONE: the first is taken out in between, so that nothing overflows.
    return divide(divide(upper, 256) * (ONE - down) + divide(lower, 256) * down, ONE * (ONE // 256))


def mirror(index: Integers, length: int) -> Integers:
    """An index outside [0, length) as seen in mirrors at both borders."""
    wrapped = index % (2 * length)
    return np.minimum(wrapped, 2 * length - 1 - wrapped)


def transform(image: Integers, matrix: tuple[float, float, float, float]) -> Integers:
    """Each pixel taken from where the matrix ((a, b), (c, d)) sends its (row, column), measured from the middle."""
    height, width = image.shape[:2]
    a, b, c, d = (fix(value) for value in matrix)
    y = 2 * np.arange(height, dtype=np.int64)[:, None] + 1 - height
    x = 2 * np.arange(width, dtype=np.int64)[None] + 1 - width
    rows, columns = a * y + b * x, c * y + d * x
    return sample(image, divide(rows + ONE * (height - 1), 2), divide(columns + ONE * (width - 1), 2))


def shrink(image: Integers, height: int, width: int) -> Integers:
    """Fewer pixels, each the mean of the area that it covers."""
    rows, columns = weigh_areas(image.shape[0], height), weigh_areas(image.shape[1], width)
    total = np.tensordot(columns, np.tensordot(rows, image, (1, 0)), (1, 1)).transpose(1, 0, 2)
    return divide(total, image.shape[0] * image.shape[1])


def weigh_areas(old: int, new: int) -> Integers:
    """[new, old]: how much of each old pixel a new one covers, in units of 1 / new of an old one."""
    starts, edges = np.arange(new)[:, None] * old, np.arange(old)[None] * new
    return np.maximum(0, np.minimum(starts + old, edges + new) - np.maximum(starts, edges)).astype(np.int64)


def enlarge(image: Integers, height: int, width: int, smooth: bool) -> Integers:
    """More pixels: between the old ones (bilinear) where `smooth`, or the nearest."""
    old_height, old_width = image.shape[:2]
    y, x = np.arange(height, dtype=np.int64), np.arange(width, dtype=np.int64)
    if not smooth:
        return image[y * old_height // height][:, x * old_width // width]
    rows = np.repeat((((2 * y + 1) * old_height - height) * ONE // (2 * height))[:, None], width, 1)
    columns = np.repeat((((2 * x + 1) * old_width - width) * ONE // (2 * width))[None], height, 0)
    return sample(image, rows, columns)
