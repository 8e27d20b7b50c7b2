"""How do the colours of a training picture for segmentation vary?

The distortion of SSD (Liu et al. 2016, arXiv 1512.02325), with the ranges of the usual ADE20K recipe.
"""

import random

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rapidnet.data.color_operations import Pixels

BRIGHTNESS = 32.0
"""Added to, or taken from, every value of 0 to 255, at most."""
CONTRAST = (0.5, 1.5)
SATURATION = (0.5, 1.5)
HUE = 18 / 180
"""Of the colour circle, either way, at most."""
OFTEN = 0.5
"""How often each of the four happens."""


def distort_colors(image: Tensor, rng: random.Random) -> Tensor:
    """Brightness, contrast, saturation and hue, each half of the time; contrast before or after the other two.

    uint8 [3, H, W] in, a new one out.
    """
    pixels: Pixels = image.permute(1, 2, 0).contiguous().numpy()
    if rng.random() < OFTEN:
        pixels = scale_values(pixels, 1.0, rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast_last = rng.random() < 0.5
    contrast = rng.uniform(*CONTRAST) if rng.random() < OFTEN else 1.0
    if contrast != 1 and not contrast_last:
        pixels = scale_values(pixels, contrast, 0.0)
    saturation = rng.uniform(*SATURATION) if rng.random() < OFTEN else 1.0
    hue = rng.uniform(-HUE, HUE) if rng.random() < OFTEN else 0.0
    if saturation != 1 or hue:
        pixels = turn_colors(pixels, saturation, hue)
    if contrast != 1 and contrast_last:
        pixels = scale_values(pixels, contrast, 0.0)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def scale_values(pixels: Pixels, factor: float, offset: float) -> Pixels:
    """factor * value + offset, cut to [0, 255]."""
    table = (np.arange(256) * factor + offset).clip(0, 255).round().astype(np.uint8)
    looked_up = bytearray(pixels.tobytes().translate(table.tobytes()))
    return np.frombuffer(looked_up, dtype=np.uint8).reshape(pixels.shape)


def turn_colors(pixels: Pixels, saturation: float, hue: float) -> Pixels:
    """Multiply the saturation and move the hue, a share of the circle, in HSV."""
    levels = np.arange(256)
    tables = [
        (levels + round(256 * hue)) % 256,
        (levels * saturation).clip(0, 255).round(),
        levels,
    ]
    hsv = Image.fromarray(pixels).convert("HSV").point(np.concatenate(tables).astype(np.uint8).tolist())
    return np.array(hsv.convert("RGB"))
