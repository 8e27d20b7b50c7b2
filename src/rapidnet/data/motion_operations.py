"""How does RandAugment turn, shear and shift an image? uint8 [H, W, 3] in, a new uint8 [H, W, 3] out.

The results are Pillow's, as timm calls it, to one level. Shears and translations move pixels along one axis only, so
that four neighbours do instead of the sixteen that Pillow takes.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rapidnet.data.color_operations import Pixels, through_pillow

Color = tuple[int, int, int]
TAPS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    # Weights of four neighbours at a distance d behind the second; the cubic is Keys' with a = -1, as Pillow's.
    "bicubic": lambda d: [-d + 2 * d**2 - d**3, 1 - 2 * d**2 + d**3, d + d**2 - d**3, -(d**2) + d**3],
    "bilinear": lambda d: [0 * d, 1 - d, d, 0 * d],
    "nearest": lambda d: [0 * d, (d < 0.5).float(), (d >= 0.5).float(), 0 * d],
}


def rotate(pixels: Pixels, degrees: float, fill: Color, interpolation: str) -> Pixels:
    """Turn counter-clockwise about the centre."""
    mode = Image.Resampling[interpolation.upper()]
    return through_pillow(pixels, lambda image: image.rotate(degrees, mode, fillcolor=fill))


def shear_x(pixels: Pixels, factor: float, fill: Color, interpolation: str) -> Pixels:
    return slide(pixels, factor * (np.arange(pixels.shape[0]) + 0.5), 1, fill, interpolation)


def shear_y(pixels: Pixels, factor: float, fill: Color, interpolation: str) -> Pixels:
    return slide(pixels, factor * (np.arange(pixels.shape[1]) + 0.5), 0, fill, interpolation)


def translate_x(pixels: Pixels, share: float, fill: Color, interpolation: str) -> Pixels:
    return slide(pixels, np.full(pixels.shape[0], share * pixels.shape[1]), 1, fill, interpolation)


def translate_y(pixels: Pixels, share: float, fill: Color, interpolation: str) -> Pixels:
    return slide(pixels, np.full(pixels.shape[1], share * pixels.shape[0]), 0, fill, interpolation)


def slide(pixels: Pixels, shift: NDArray[np.floating], axis: int, fill: Color, interpolation: str) -> Pixels:
    """Slide every row (axis 1, shift [H]) or column (axis 0, shift [W]) along itself: out[i] = in[i + shift]."""
    height, width, _ = pixels.shape
    length = width if axis else height
    whole = np.floor(shift)
    part = torch.from_numpy((shift - whole).astype(np.float32))
    taps = TAPS[interpolation](part[:, None] if axis else part.repeat_interleave(3))
    near = torch.from_numpy(gather_near(pixels, whole.astype(np.int64), axis))
    # Rounded down; the small addition keeps what is a whole number from falling below it in float32.
    mixed = torch.full((height, width * 3), 1e-3)
    for k, tap in enumerate(taps):
        mixed.addcmul_(near[:, k * 3 : (k + width) * 3] if axis else near[k : k + height], tap)
    result = mixed.clamp_(0, 255).numpy().astype(np.uint8)

    # What lies outside the picture: arithmetic on a mask of bytes is faster than choosing by it.
    centre = np.repeat(np.arange(width) + 0.5, 3) if axis else (np.arange(height) + 0.5)[:, None]
    start = -shift[:, None] if axis else -np.repeat(shift, 3)
    centre, start = centre.astype(np.float32), start.astype(np.float32)
    inside = np.negative(((centre >= start) & (centre < start + length)).view(np.uint8))
    result = (result & inside) | (np.tile(np.array(fill, dtype=np.uint8), width) & ~inside)
    return result.reshape(pixels.shape)


def gather_near(pixels: Pixels, whole: NDArray[np.int64], axis: int) -> NDArray[np.float32]:
    """Every row (axis 1) or column (axis 0) slid by whole pixels: float32 [H, (W + 3) * 3] or [H + 3, W * 3].

    It starts one pixel before the picture and ends two behind it, which is where interpolation looks. Beyond its edges
    the picture goes on for two pixels as it ends; what lies farther out is 0.
    """
    lines = pixels.swapaxes(0, 1) if axis else pixels
    length = len(lines)
    # What slides farther than the picture is long is outside it anyway.
    whole = whole.clip(-length, length)
    margin = int(np.abs(whole).max()) + 2
    shape = (length + 2 * margin, *lines.shape[1:])
    padded = np.zeros((shape[1], shape[0], 3) if axis else shape, dtype=np.float32)
    near = np.empty((shape[1], length + 3, 3) if axis else (length + 3, shape[1], 3), dtype=np.float32)
    source, target = (padded.swapaxes(0, 1), near.swapaxes(0, 1)) if axis else (padded, near)
    source[margin : margin + length] = lines
    source[margin - 2 : margin], source[margin + length : margin + length + 2] = lines[0], lines[-1]
    # Neighbours that slide alike are copied together: one slice for a translation, a few dozen for a shear.
    bounds = [0, *(np.flatnonzero(np.diff(whole)) + 1).tolist(), len(whole)]
    for first, last in pairwise(bounds):
        start = margin - 1 + int(whole[first])
        target[:, first:last] = source[start : start + length + 3, first:last]
    return near.reshape(len(near), -1)
