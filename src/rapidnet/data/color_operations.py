"""What does RandAugment do to the values of pixels? uint8 [H, W, 3] in, a new uint8 [H, W, 3] out.

The results are Pillow's, as timm calls it, to one level. What Pillow does as fast is left to it.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

Pixels = NDArray[np.uint8]

LUMINANCE = np.array([19595, 38470, 7471]) / 65536
"""Pillow's weights of red, green and blue (ITU-R 601-2)."""


def through_pillow(pixels: Pixels, operation: Callable[[Image.Image], Image.Image]) -> Pixels:
    return np.array(operation(Image.fromarray(pixels)))


def blend(base: NDArray[np.float32] | float, pixels: Pixels, factor: float) -> Pixels:
    """base + factor * (pixels - base), cut to [0, 255] and rounded down."""
    mixed = pixels.astype(np.float32)
    mixed -= base
    mixed *= np.float32(factor)
    mixed += base
    # numpy's conversion from float to uint8 is ten times faster than torch's.
    return np.clip(mixed, 0, 255, out=mixed).astype(np.uint8)


def change_brightness(pixels: Pixels, factor: float) -> Pixels:
    return blend(0.0, pixels, factor)


def change_contrast(pixels: Pixels, factor: float) -> Pixels:
    means = torch.from_numpy(pixels).flatten(1).sum(0).view(-1, 3).sum(0).numpy() / (pixels.size / 3)
    return blend(float(int(means @ LUMINANCE + 0.5)), pixels, factor)


def change_color(pixels: Pixels, factor: float) -> Pixels:
    return through_pillow(pixels, lambda image: ImageEnhance.Color(image).enhance(factor))


def change_sharpness(pixels: Pixels, factor: float) -> Pixels:
    """Blend with a 3x3 smoothing of weight 5 in the middle and 1 around; the outermost pixels stay."""
    height, width, _ = pixels.shape
    if min(height, width) < 3:
        return pixels.copy()
    flat = pixels.reshape(height, width * 3).astype(np.int16)
    total = flat[:, :-6] + flat[:, 3:-3]
    total += flat[:, 6:]
    total = total[:-2] + total[1:-1] + total[2:]
    total += 4 * flat[1:-1, 3:-3]
    smooth = flat.astype(np.float32)
    smooth[1:-1, 3:-3] = np.floor(total * np.float32(1 / 13) + np.float32(0.5))
    return blend(smooth.reshape(pixels.shape), pixels, factor)


def auto_contrast(pixels: Pixels, _: float = 0.0) -> Pixels:
    """Stretch every channel to [0, 255]."""
    height, width, _channels = pixels.shape
    flat = pixels.reshape(height, width * 3)
    low = flat.min(0).reshape(width, 3).min(0).astype(np.float32)
    high = flat.max(0).reshape(width, 3).max(0).astype(np.float32)
    flatland = high <= low
    scale = np.where(flatland, 1, 255 / np.maximum(high - low, 1)).astype(np.float32)
    stretched = flat * np.tile(scale, width)
    # Rounded down; the small addition keeps what is a whole number from falling below it in float32.
    stretched += np.tile(np.where(flatland, 0, -low * scale) + 1e-3, width).astype(np.float32)
    return stretched.astype(np.uint8).reshape(pixels.shape)


def equalize(pixels: Pixels, _: float = 0.0) -> Pixels:
    return through_pillow(pixels, ImageOps.equalize)


def invert(pixels: Pixels, _: float = 0.0) -> Pixels:
    return ~pixels


def posterize(pixels: Pixels, bits: float) -> Pixels:
    """Keep the highest bits of a value; none leaves black, as it did until Pillow 13, which refuses it."""
    return pixels & np.uint8(256 - (1 << (8 - int(bits)))) if 0 < bits < 8 else pixels * np.uint8(bits >= 8)


def solarize(pixels: Pixels, threshold: float) -> Pixels:
    """Invert values from the threshold on."""
    if threshold > 255:
        return pixels.copy()
    return pixels ^ np.negative((pixels >= np.uint8(threshold)).view(np.uint8))


def solarize_add(pixels: Pixels, amount: float) -> Pixels:
    """Brighten the darker half of the values."""
    return pixels + (pixels < 128).view(np.uint8) * np.uint8(amount)


def blur(pixels: Pixels, radius: float) -> Pixels:
    return through_pillow(pixels, lambda image: image.filter(ImageFilter.GaussianBlur(radius)))
