"""Does a map know what the answer rests on, or would a random one do as well? Deletion and insertion; needs no torch.

Deletion hides the picture's pixels from the map's largest value on, insertion uncovers them in a blurred copy; the area
under the class's probability is small for the one and large for the other if the map is right.
Source: Petsiuk et al., RISE, BMVC 2018 (arXiv 1806.07421, Sec. 4.2).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from scipy.stats import t as student

from rapidnet.explain.gradient_free import Predict, draw_random_map, score
from rapidnet.runtimes.network import Array

STEPS = 32
"""Equal portions of the pixels."""
BLUR = 10 / 224
"""Standard deviation of the blur that insertion starts from, of the picture's side."""
RANDOM_MAPS = 3
"""Random maps for each picture, whose mean is the baseline."""
SIGNS = {"deletion": -1, "insertion": 1}
"""1 where a right map has a large area."""
AREAS = tuple(SIGNS)


def measure_areas(
    predict: Predict, pixels: Array, target: int, fill: Array, shown: Array, seed: int, batch_size: int
) -> dict[str, float]:
    """deletion and insertion of one map [S, S]: areas in [0, 1] under the probability over the share of pixels."""
    order = rank_pixels(shown, seed)
    blurred = gaussian_filter(pixels.astype(np.float64), (0, *(BLUR * pixels.shape[-1],) * 2))
    pairs = ((pixels, np.broadcast_to(fill, pixels.shape)), (np.round(blurred).astype(np.uint8), pixels))
    areas = {}
    for name, (before, after) in zip(AREAS, pairs, strict=True):
        changed = [
            np.where(order < round(step * order.size / STEPS), after, before).astype(np.uint8)
            for step in range(STEPS + 1)
        ]
        areas[name] = float(np.trapezoid(score(predict, np.stack(changed), target, batch_size), dx=1 / STEPS))
    return areas


def rank_pixels(shown: Array, seed: int) -> Array:
    """The place of each pixel, 0 for the largest value, equal ones in random order: int [S, S]."""
    ties = np.random.default_rng(seed).permutation(shown.size)
    places = np.empty(shown.size, np.int64)
    places[np.lexsort((ties, -shown.ravel()))] = np.arange(shown.size)
    return places.reshape(shown.shape)


def measure_baselines(
    predict: Predict, pixels: Array, target: int, fill: Array, seed: int, batch_size: int
) -> dict[str, dict[str, float]]:
    """The areas of random maps (their mean) and of one that only says that things lie in the middle."""
    size, rng = pixels.shape[-1], np.random.default_rng(seed)
    drawn = [draw_random_map(size, rng) for _ in range(RANDOM_MAPS)]
    found = [measure_areas(predict, pixels, target, fill, shown, seed, batch_size) for shown in drawn]
    away = np.arange(size) - (size - 1) / 2
    middle = -np.hypot(away[:, None], away[None, :])
    return {
        "random": {name: float(np.mean([areas[name] for areas in found])) for name in AREAS},
        "centre": measure_areas(predict, pixels, target, fill, middle, seed, batch_size),
    }


def summarize_areas(areas: Sequence[dict[str, float]], random: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over pictures, and by how much better than random they are, with 95 % intervals (Student's t, paired).

    overall is insertion less deletion. says_something: whether its interval lies above 0; None with one picture.
    """
    row: dict[str, Any] = {name: float(np.mean([own[name] for own in areas])) for name in AREAS}
    if len(areas) < 2:
        return row | {"gains": {}, "says_something": None}
    pairs = list(zip(areas, random, strict=True))
    less, more = (sign * np.array([own[name] - base[name] for own, base in pairs]) for name, sign in SIGNS.items())
    gains: dict[str, dict[str, Any]] = {}
    for name, better in (("deletion", less), ("insertion", more), ("overall", less + more)):
        reach = float(student.ppf(0.975, len(better) - 1)) * float(better.std(ddof=1)) / len(better) ** 0.5
        mean = float(better.mean())
        gains[name] = {"gain": mean, "interval": [mean - reach, mean + reach]}
    return row | {"gains": gains, "says_something": gains["overall"]["interval"][0] > 0}


def correlate(one: Array, other: Array) -> float | None:
    """Spearman's rank correlation of two maps; None where one of them is flat."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def average(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
