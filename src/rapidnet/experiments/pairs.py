"""How do two classifiers differ on the same images, and is it more than chance?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from rapidnet.experiments.statistics import ALPHA, correct

Array = np.ndarray
DRAWS = 10_000


@dataclass(frozen=True)
class Answers:
    """What a network named first for each image, against the truth: integers [N] both."""

    truth: Array
    named: Array

    @property
    def right(self) -> Array:
        return self.truth == self.named


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p value that two networks err equally often.

    Source: McNemar, Psychometrika 12, 1947. Only the images on which one is right and the other wrong say anything:
    without a difference each falls to either side with probability one half.
    """
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def bootstrap_difference(wins: int, losses: int, images: int, seed: int = 0) -> tuple[float, float]:
    """The ends of the 95% percentile bootstrap interval of wins less losses, in percent of the images.

    An image is a win, a loss or neither, so drawing images with replacement is drawing from a multinomial.
    """
    shares = np.array([wins, losses, images - wins - losses]) / images
    drawn = np.random.default_rng(seed).multinomial(images, shares, DRAWS)
    low, high = np.quantile(drawn[:, 0] - drawn[:, 1], [ALPHA / 2, 1 - ALPHA / 2])
    return 100 * float(low) / images, 100 * float(high) / images


def compare_answers(first: Answers, other: Answers, classes: Sequence[str]) -> dict[str, Any]:
    """What `other` wins and loses against `first`, in values that JSON can hold.

    Returns:
        images; difference: points of accuracy, with interval; wins, losses: images that only the other, only the first
        has right; agreement: percent of images given the same name; p: McNemar; per_class: class, images, wins, losses,
        p of each class by itself.
    Raises:
        ValueError: other images.
    """
    if not np.array_equal(first.truth, other.truth):
        raise ValueError("the answers are to different images")
    won, lost = other.right & ~first.right, first.right & ~other.right
    wins, losses, images = int(won.sum()), int(lost.sum()), len(won)
    per_class = []
    for index, name in enumerate(classes):
        own = first.truth == index
        gained, given = int(won[own].sum()), int(lost[own].sum())
        per_class.append(
            {"class": name, "images": int(own.sum()), "wins": gained, "losses": given, "p": mcnemar(gained, given)}
        )
    return {
        "images": images,
        "difference": 100 * (wins - losses) / images,
        "interval": list(bootstrap_difference(wins, losses, images)),
        "wins": wins,
        "losses": losses,
        "agreement": 100 * float((first.named == other.named).mean()),
        "p": mcnemar(wins, losses),
        "per_class": add_q(per_class),
    }


def add_q(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with q, their p corrected over all of them (Benjamini-Hochberg)."""
    adjusted = correct(np.array([row["p"] for row in rows]))
    return [row | {"q": float(q)} for row, q in zip(rows, adjusted, strict=True)]


def choose_disagreements(first: Answers, other: Answers, most: int) -> list[int]:
    """Images to look at: wins and losses in turns, then those that both name wrong, each in its own way.

    Where there are more than fit they are spread over all, as images come class by class.
    """
    won, lost = (np.flatnonzero(mask) for mask in (other.right & ~first.right, first.right & ~other.right))
    apart = np.flatnonzero(~first.right & ~other.right & (first.named != other.named))
    won, lost = spread(won, max(most - most // 2, most - len(lost))), spread(lost, max(most // 2, most - len(won)))
    turns = [side[place] for place in range(max(len(won), len(lost))) for side in (won, lost) if place < len(side)]
    return [int(index) for index in [*turns, *spread(apart, most - len(turns))]]


def spread(indices: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """So many of them, at even distances; all if they are fewer."""
    return indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(int)]
