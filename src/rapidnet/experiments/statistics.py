"""Is a change's difference over paired seeds more than noise, how large is it, and what could have been seen?

Everything but `Paired` works on the last axis of arrays, so that thousands of studies can be simulated at once.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats
from scipy.optimize import brentq

Array = np.ndarray
Test = Literal["paired t", "sign flips"]

ALPHA = 0.05
"""The share of false discoveries that is allowed, and one less the level of every interval."""
POWER = 0.8
FEWEST_SEEDS = 5
"""Fewer make no claim, whatever the test says: their spread is hardly known."""
MOST_FLIPPED = 16
"""More seeds than this are not enumerated (2^16 signs); there the t test needs no normality."""


@dataclass(frozen=True)
class Paired:
    """What paired scores say of a change; None where so few seeds, or seeds without any spread, say nothing.

    difference: the mean of change less baseline, with the ends of its 95% t interval. p_t: of the paired t test.
    p_flips: of the exact sign-flip permutation test. effect: Cohen's d_z (the mean difference over its standard
    deviation) with the ends of its 95% interval. detectable: the difference that a study like this one finds in four of
    five cases.
    """

    seeds: int
    difference: float
    low: float | None
    high: float | None
    p_t: float | None
    p_flips: float | None
    effect: float | None
    effect_low: float | None
    effect_high: float | None
    detectable: float | None


@dataclass(frozen=True)
class Verdict:
    """Which test decides, its p, p after correction over the study's changes (q), and what may be said."""

    test: Test
    p: float | None
    q: float | None
    claim: str


def mean_interval(values: Array) -> tuple[Array, Array, Array]:
    """Means over the last axis, of at least two values, and the ends of their 95% t intervals."""
    count = values.shape[-1]
    mean = values.mean(-1)
    half = stats.t.ppf(1 - ALPHA / 2, count - 1) * values.std(-1, ddof=1) / np.sqrt(count)
    return mean, mean - half, mean + half


def paired_t(differences: Array) -> Array:
    """Two-sided p values that the mean over the last axis, of at least two differences, is zero.

    Differences without any spread have no t; there the sign flips decide.
    """
    count = differences.shape[-1]
    flat = np.ptp(differences, axis=-1) <= 1e-12
    spread = np.where(flat, 1.0, differences.std(-1, ddof=1))
    p = 2 * stats.t.sf(np.abs(differences.mean(-1)) * np.sqrt(count) / spread, count - 1)
    constant = np.where(np.abs(differences[..., 0]) <= 1e-12, 1.0, 2.0 ** (1 - count))
    return np.where(flat, constant, p)


def sign_flips(differences: Array) -> Array:
    """Exact two-sided p values: the share of all 2^n signs of the differences whose sum is at least as far from zero.

    Source: Fisher, The Design of Experiments, 1935, section 21. Assumes only that without an effect a difference is as
    often above zero as below by as much. The smallest value that n differences can give is 2 / 2^n.

    Raises:
        ValueError: more than MOST_FLIPPED differences.
    """
    count = differences.shape[-1]
    if count > MOST_FLIPPED:
        raise ValueError(f"{count} differences have too many signs to enumerate; at most {MOST_FLIPPED}")
    # The other half mirrors this one.
    signs = 1.0 - 2.0 * (np.arange(2 ** (count - 1))[:, None] >> np.arange(count) & 1)
    sums = np.abs(differences @ signs.T)
    bound = np.abs(differences.sum(-1, keepdims=True))
    return (sums >= bound * (1 - 1e-9) - 1e-12).mean(-1)


def correct(p: Array) -> Array:
    """Benjamini-Hochberg adjusted p values over the last axis, the changes of a study.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 1995. Changes that share a
    baseline depend on each other positively, for which the procedure holds (Benjamini and Yekutieli, 2001).
    """
    adjusted: Array = stats.false_discovery_control(p, axis=-1, method="bh")
    return adjusted


def choose_test(seeds: int, changes: int) -> Test:
    """The test that decides, chosen by numbers alone and never by what was measured.

    Sign flips assume least. But n seeds cannot give less than 2 / 2^n, so they decide only where that is small enough
    to survive the correction over the changes; with fewer seeds the t test does, which assumes normal differences.
    """
    enough = 2.0 ** (1 - seeds) <= ALPHA / max(changes, 1)
    return "sign flips" if enough and seeds <= MOST_FLIPPED else "paired t"


def compare_pairs(change: Array, base: Array, changes: int = 1) -> Paired:
    """What the scores [n] of a change and of the baseline say, seed by seed, in a study of so many changes."""
    differences = np.asarray(change, float) - np.asarray(base, float)
    count = len(differences)
    if count < 2:
        return Paired(count, float(differences.mean()), None, None, None, None, None, None, None, None)
    mean, low, high = mean_interval(differences)
    spread = float(differences.std(ddof=1))
    flips = float(sign_flips(differences)) if count <= MOST_FLIPPED else None
    effect: tuple[float | None, float | None, float | None] = (None, None, None)
    detectable = None
    if spread > 1e-12:
        effect = (float(mean) / spread, *effect_interval(float(mean) / spread, count))
        detectable = find_detectable(count, ALPHA / max(changes, 1)) * spread
    p = float(paired_t(differences))
    return Paired(count, float(mean), float(low), float(high), p, flips, *effect, detectable)


def effect_interval(effect: float, count: int) -> tuple[float, float]:
    """The 95% interval of d_z from n differences: the non-centralities for which its t is at either 2.5% end.

    Source: Cumming and Finch, Educational and Psychological Measurement 61, 2001.
    """
    t = effect * count**0.5
    reach = 10 + 2 * abs(t)

    def find(share: float) -> float:
        def distance(nc: float) -> float:
            found = float(stats.nct.cdf(t, count - 1, nc))
            # Far out scipy gives up, where it is as good as 0 or 1.
            return (found if found == found else float(nc < t)) - share

        return float(brentq(distance, t - reach, t + reach)) / count**0.5

    return find(1 - ALPHA / 2), find(ALPHA / 2)


def find_detectable(count: int, alpha: float) -> float:
    """The d_z that a two-sided t test of so many differences at level alpha finds in four of five cases."""
    bound = float(stats.t.ppf(1 - alpha / 2, count - 1))

    def lack(nc: float) -> float:
        # The other tail hardly counts.
        return float(stats.nct.sf(bound, count - 1, nc)) - POWER

    return float(brentq(lack, 0, 4 * bound + 10)) / count**0.5


def judge(pairs: list[Paired]) -> list[Verdict]:
    """What may be said of each change of a study, after correction over all that have a p value."""
    tests = [choose_test(pair.seeds, len(pairs)) for pair in pairs]
    values = [pair.p_flips if test == "sign flips" else pair.p_t for pair, test in zip(pairs, tests, strict=True)]
    known = [index for index, value in enumerate(values) if value is not None]
    adjusted = correct(np.array([values[index] for index in known])) if known else np.empty(0)
    found = dict(zip(known, (float(q) for q in adjusted), strict=True))
    return [
        Verdict(test, p, found.get(index), claim(pair, found.get(index)))
        for index, (pair, test, p) in enumerate(zip(pairs, tests, values, strict=True))
    ]


def claim(pair: Paired, q: float | None) -> str:
    """better, worse, open (neither can be said), or too few seeds for a claim."""
    if q is None or pair.seeds < FEWEST_SEEDS:
        return "too few seeds"
    if q > ALPHA:
        return "open"
    return "better" if pair.difference > 0 else "worse"


def summarize(scores: Array) -> dict[str, Any]:
    """The mean of the scores [n] and its interval (None for one score)."""
    if len(scores) < 2:
        return {"mean": float(np.mean(scores)), "interval": None}
    mean, low, high = mean_interval(np.asarray(scores, float))
    return {"mean": float(mean), "interval": [float(low), float(high)]}
