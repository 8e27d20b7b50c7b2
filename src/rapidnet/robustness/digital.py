"""What do programs do to a picture? Less contrast, bent, coarse pixels, JPEG."""

import io

import numpy as np
from PIL import Image

from rapidnet.robustness.blurring import scale_length
from rapidnet.robustness.geometry import blur, divide, enlarge, fix, sample, shrink
from rapidnet.robustness.randomness import ONE, Integers, Stream


def flatten(image: Integers, stream: Stream, contrast: float) -> Integers:
    """Each channel nearer to its mean over the picture; `contrast` is the share of the distance that is left."""
    pixels = image.shape[0] * image.shape[1]
    mean = divide(image.sum((0, 1)) * ONE, pixels)
    return divide(fix(contrast) * (image * ONE - mean) + mean * ONE, ONE * ONE)


def bend(image: Integers, stream: Stream, strength: float, smoothness: float) -> Integers:
    """Every pixel from elsewhere: uniform random shifts, blurred by `smoothness`, of at most `strength` (both pixels
    of a 224 px picture)."""
    size = image.shape[0]
    shifts = blur(stream.draw_bits(16, size, size, 2) - ONE // 2, scale_length(image, smoothness))
    largest = max(1, int(abs(shifts).max()))
    shifts = divide(shifts * fix(scale_length(image, strength)), largest)
    places = np.arange(size, dtype=np.int64) * ONE
    return sample(image, places[:, None] + shifts[..., 0], places[None] + shifts[..., 1])


def pixelate(image: Integers, stream: Stream, share: float) -> Integers:
    """Shrunk to a share of its side by area, and back by repeating pixels."""
    return _go_through(image, share, smooth=False)


def lose_resolution(image: Integers, stream: Stream, share: float) -> Integers:
    """Shrunk to a share of its side by area, and back between pixels: a thumbnail shown large."""
    return _go_through(image, share, smooth=True)


def compress(image: Integers, stream: Stream, quality: int) -> Integers:
    """JPEG by libjpeg's scale of quality (1 to 100), colours at half resolution, Huffman tables of the standard."""
    return encode(image, quality)


def compress_often(image: Integers, stream: Stream, quality: int, times: int) -> Integers:
    """So many JPEG generations, each moved against the grid of 8 x 8 blocks of the one before."""
    for _ in range(times):
        dy, dx = (int(step) for step in stream.draw_below(8, 2))
        moved = np.roll(image, (dy, dx), (0, 1))
        image = np.roll(encode(moved, quality), (-dy, -dx), (0, 1))
    return image


def encode(image: Integers, quality: int) -> Integers:
    """uint8 values through a JPEG file and back."""
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=quality, subsampling="4:2:0", optimize=False)
    with Image.open(file) as decoded:
        return np.asarray(decoded.convert("RGB")).astype(np.int64)


def _go_through(image: Integers, share: float, smooth: bool) -> Integers:
    height, width = image.shape[:2]
    few = (max(1, round(height * share)), max(1, round(width * share)))
    return enlarge(shrink(image, *few), height, width, smooth)
