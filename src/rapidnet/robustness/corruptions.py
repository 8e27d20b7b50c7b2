"""Which corruptions are there, with which parameters at each severity, and what exactly do they make of a picture?

The fifteen kinds are those of Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019; their arithmetic is our own, so their pixels are not those of the published ImageNet-C.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rapidnet.robustness import blurring, digital, noise, phone, weather
from rapidnet.robustness.randomness import Stream

Pixels = NDArray[np.uint8]
SEVERITIES = (1, 2, 3, 4, 5)
VERSION = 1
"""Raised whenever a pixel of any corruption changes."""


@dataclass(frozen=True)
class Kind:
    """One corruption. `names` are its parameters, `values` those of severities 1 to 5."""

    group: str
    change: Callable[..., Any]
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


KINDS: dict[str, Kind] = {
    "gaussian_noise": Kind("noise", noise.add_gaussian, ("sigma",), ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,))),
    "shot_noise": Kind("noise", noise.add_shot, ("photons",), ((60,), (25,), (12,), (5,), (3,))),
    "impulse_noise": Kind("noise", noise.add_impulses, ("share",), ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,))),
    "defocus_blur": Kind("blur", blurring.defocus, ("radius",), ((3,), (4,), (6,), (8,), (10,))),
    "glass_blur": Kind(
        "blur", blurring.look_through_glass, ("sigma", "reach", "times"),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    "motion_blur": Kind("blur", blurring.move, ("length",), ((9,), (13,), (18,), (25,), (33,))),
    "zoom_blur": Kind(
        "blur", blurring.zoom, ("largest", "steps"), ((1.1, 10), (1.15, 12), (1.2, 14), (1.25, 16), (1.33, 18))
    ),
    "snow": Kind(
        "weather", weather.snow, ("share", "flake", "length", "white"),
        ((0.02, 3, 6, 0.2), (0.03, 3, 8, 0.3), (0.04, 4, 8, 0.35), (0.055, 4, 10, 0.4), (0.07, 5, 12, 0.5)),
    ),
    "frost": Kind(
        "weather", weather.frost, ("picture", "ice"), ((1, 0.35), (0.9, 0.5), (0.8, 0.65), (0.7, 0.75), (0.6, 0.85))
    ),
    "fog": Kind(
        "weather", weather.fog, ("amount", "roughness"),
        ((1.5, 0.5), (2, 0.5), (2.5, 0.6), (2.5, 0.67), (3, 0.7)),
    ),
    "brightness": Kind("weather", weather.brighten, ("amount",), ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    "contrast": Kind("digital", digital.flatten, ("contrast",), ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))),
    "elastic_transform": Kind(
        "digital", digital.bend, ("strength", "smoothness"), ((6, 14), (8, 12), (10, 10), (12, 8), (14, 7))
    ),
    "pixelate": Kind("digital", digital.pixelate, ("share",), ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,))),
    "jpeg_compression": Kind("digital", digital.compress, ("quality",), ((25,), (18,), (15,), (10,), (7,))),
    "low_light": Kind(
        "phone", phone.dim, ("electrons", "brightness"), ((400, 0.6), (150, 0.4), (60, 0.3), (25, 0.2), (10, 0.15))
    ),
    "jpeg_generations": Kind(
        "phone", digital.compress_often, ("quality", "times"), ((70, 3), (50, 4), (35, 6), (25, 8), (15, 10))
    ),
    "aspect_ratio": Kind("phone", phone.stretch, ("factor",), ((1.15,), (1.3,), (1.5,), (1.75,), (2.1,))),
    "low_resolution": Kind("phone", digital.lose_resolution, ("share",), ((0.5,), (0.4,), (0.3,), (0.22,), (0.16,))),
    "rotation": Kind("phone", phone.tilt, ("degrees",), ((4,), (8,), (12,), (18,), (25,))),
}  # fmt: skip
PUBLISHED = tuple(name for name, kind in KINDS.items() if kind.group != "phone")
"""The kinds of ImageNet-C, over which a mean corruption error is taken."""


def corrupt(pixels: Pixels, kind: str, severity: int, index: int, seed: int = 0) -> Pixels:
    """One picture, corrupted: a function of the arguments alone, equal to the last bit on every machine.

    Args:
        pixels: uint8 RGB [3, S, S], as the network gets them.
        kind, severity: a key of KINDS, 1 to 5.
        index: of the picture in its data, so that no two pictures get the same noise.
    """
    entry = KINDS[kind]
    stream = Stream(VERSION, seed, index, kind, severity)
    image = pixels.transpose(1, 2, 0).astype(np.int64)
    changed = entry.change(image, stream, *entry.values[severity - 1])
    return np.ascontiguousarray(changed.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))


def corrupt_batch(pixels: Pixels, kind: str, severity: int, indices: Sequence[int], seed: int = 0) -> Pixels:
    """uint8 [B, 3, S, S], each picture by its own index."""
    return np.stack([corrupt(p, kind, severity, index, seed) for p, index in zip(pixels, indices, strict=True)])
