"""What do repeated timings say: how fast, how steady, and is one thing faster than another?

Timings come in blocks, [blocks, runs] in milliseconds: the runs of a block follow each other, between blocks other
networks had their turn.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from rapidnet.runtimes.network import Array

MAX_SPREAD = 0.05
MAX_DRIFT = 0.03
LEAST_BLOCKS = 6
"""Fewer tell nothing of drift, nor of an interval."""
TRIMMED = 0.99
"""The slowest hundredth of the runs does not count towards the spread: it is what p99 is for."""
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """What one network's timings say. Milliseconds, but for shares of one: spread, drift.

    spread: standard deviation over mean, without the slowest hundredth; drift: the median of the last third of the
    blocks over that of the first, less one. reasons: why the figures are not to be used; empty if they are steady.
    """

    runs: int
    p50: float
    p90: float
    p99: float
    spread: float
    drift: float
    reasons: list[str] = field(default_factory=list)

    @property
    def stable(self) -> bool:
        return not self.reasons


@dataclass(frozen=True)
class Ratio:
    """How many times as long one network takes as another: the ratio, and the ends of its 95% interval.

    drift: the median ratio of the last third of the blocks over that of the first, less one. What slows both networks
    alike does not show in it, so a ratio may be steady where neither latency is.
    """

    value: float
    low: float
    high: float
    drift: float

    @property
    def reasons(self) -> list[str]:
        """Why the ratio is not to be used; empty if it is steady."""
        return [describe_drift("ratio", self.drift)] if abs(self.drift) > MAX_DRIFT else []

    @property
    def verdict(self) -> str:
        """faster, slower, or no difference where the interval holds one."""
        if self.low <= 1 <= self.high:
            return "no difference"
        return "slower" if self.low > 1 else "faster"

    def to_dict(self) -> dict[str, Any]:
        return {
            "ratio": self.value, "low": self.low, "high": self.high, "ratio_drift": self.drift, "verdict": self.verdict
        }  # fmt: skip


def estimate(times: Array) -> Estimate:
    """Percentiles and steadiness of timings [blocks, runs]; percentiles interpolate linearly between runs."""
    flat = np.sort(times.ravel())
    kept = flat[: max(1, int(np.ceil(TRIMMED * flat.size)))]
    medians = np.median(times, axis=1)
    spread = float(kept.std() / kept.mean())
    drift = measure_drift(medians)
    reasons = []
    if len(medians) < LEAST_BLOCKS:
        reasons.append(f"only {len(medians)} blocks of runs, {LEAST_BLOCKS} are needed")
    if spread > MAX_SPREAD:
        reasons.append(f"the runs spread by {spread:.1%}, at most {MAX_SPREAD:.0%} is steady")
    if abs(drift) > MAX_DRIFT:
        reasons.append(describe_drift("latency", drift))
    p50, p90, p99 = np.percentile(flat, [50, 90, 99])
    return Estimate(flat.size, float(p50), float(p90), float(p99), spread, drift, reasons)


def measure_drift(series: Array) -> float:
    """The median of the last third over that of the first, less one."""
    third = max(1, len(series) // 3)
    return float(np.median(series[-third:]) / np.median(series[:third]) - 1)


def describe_drift(what: str, drift: float) -> str:
    return f"the {what} drifted by {drift:+.1%} from the first third to the last, at most {MAX_DRIFT:.0%}"


def compare(times: Array, base: Array, seed: int = 0) -> Ratio:
    """How many times as long `times` took as `base`, both [blocks, runs] and taken in turns, block by block.

    Block i of both was measured at about the same moment, so whatever slowed the machine then falls on both: the
    ratio is the geometric mean over blocks of the ratio of their medians, its interval a bootstrap over blocks
    (bias-corrected and accelerated: Efron, Better Bootstrap Confidence Intervals, JASA 1987).

    Raises:
        ValueError: not as many blocks of one as of the other, or fewer than can be drawn from.
    """
    if len(times) != len(base) or len(times) < LEAST_BLOCKS:
        raise ValueError(f"{len(times)} and {len(base)} blocks cannot be compared; {LEAST_BLOCKS} of both are needed")
    logs = np.log(np.median(times, axis=1) / np.median(base, axis=1))
    value, drift = float(np.exp(logs.mean())), measure_drift(np.exp(logs))
    if np.ptp(logs) < 1e-12:
        return Ratio(value, value, value, drift)
    found = bootstrap(
        (logs,), np.mean, confidence_level=LEVEL, method="BCa", n_resamples=4999, rng=np.random.default_rng(seed)
    )
    low, high = np.exp(found.confidence_interval)
    return Ratio(value, float(low), float(high), drift)
