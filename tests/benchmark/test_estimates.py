"""Percentiles, steadiness and ratios, from timings that are known."""

import numpy as np
import pytest

from rapidnet.benchmark.estimates import compare, estimate
from rapidnet.benchmark.schedule import MODES, Mode, plan_block, take_turns
from rapidnet.runtimes.network import Array

BRIEF = Mode(runs=200, seconds=1, blocks=20, warm_runs=10, warm_seconds=0.5, headline=False)


class Scripted:
    """A runtime whose n-th run takes as long as `latency(n)` says, in milliseconds."""

    def __init__(self, latency) -> None:
        self.latency, self.calls, self.log = latency, 0, []

    def run(self, count: int, warm: int) -> list[float]:
        times = [float(self.latency(self.calls + i)) for i in range(warm + count)]
        self.calls += warm + count
        self.log.append((warm, count))
        return times[warm:]


def measure(latency) -> Array:
    return take_turns({"it": Scripted(latency)}, BRIEF)["it"]


def test_a_constant_latency_is_reported_exactly() -> None:
    found = estimate(measure(lambda n: 8.0))
    assert (found.p50, found.p90, found.p99, found.spread, found.drift) == (8, 8, 8, 0, 0)
    assert found.stable and found.runs == 200


def test_percentiles_are_exact() -> None:
    times = np.arange(1.0, 102.0).reshape(1, -1).repeat(10, 0)
    found = estimate(np.random.default_rng(0).permutation(times.ravel()).reshape(10, -1))
    assert (found.p50, found.p90) == (51, 91)
    assert found.p99 == pytest.approx(100, abs=0.1)


def test_a_slow_first_call_does_not_count() -> None:
    found = estimate(measure(lambda n: 500.0 if n == 0 else 8.0))
    assert (found.p50, found.p99) == (8, 8) and found.stable


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_two_speeds_are_unstable(share: float) -> None:
    draw = np.random.default_rng(0)
    found = estimate(measure(lambda n: 14.0 if draw.random() < share else 10.0))
    assert not found.stable and "spread" in found.reasons[0]


@pytest.mark.parametrize("direction", [1, -1])
def test_a_drift_is_unstable_though_the_runs_of_a_block_agree(direction: int) -> None:
    found = estimate(measure(lambda n: 10 * (1 + direction * 0.06 * n / 240)))
    assert not found.stable and "drifted" in found.reasons[-1]
    assert found.drift == pytest.approx(direction * 0.04, rel=0.3)


def test_a_rare_outlier_shows_in_p99_and_not_in_the_verdict() -> None:
    found = estimate(measure(lambda n: 100.0 if n % 130 == 129 else 8.0))
    assert found.stable and found.p50 == found.p90 == 8
    often = estimate(measure(lambda n: 100.0 if n % 40 == 39 else 8.0))
    assert not often.stable and often.p99 > 50


def test_too_few_blocks_tell_nothing() -> None:
    found = estimate(np.full((3, 100), 8.0))
    assert not found.stable and "only 3 blocks" in found.reasons[0]
    with pytest.raises(ValueError, match="3 and 3 blocks cannot be compared"):
        compare(np.ones((3, 5)), np.ones((3, 5)))


def draw_blocks(rng: np.random.Generator, median: float, blocks: int, machine: Array) -> Array:
    """Runs that share the machine's mood of each block, with noise of their own."""
    own = rng.normal(0, 0.02, (blocks, 1)) + rng.normal(0, 0.03, (blocks, 10))
    return median * np.exp(machine[:, None] + own)


@pytest.mark.parametrize(
    "blocks", [MODES["quick"].blocks, pytest.param(MODES["standard"].blocks, marks=pytest.mark.slow)]
)
def test_the_interval_of_a_ratio_covers_the_truth_as_often_as_it_says(blocks: int) -> None:
    rng, hits, count, truth = np.random.default_rng(0), 0, 2000, 1.04
    for _ in range(count):
        machine = rng.normal(0, 0.1, blocks)
        found = compare(draw_blocks(rng, 10 * truth, blocks, machine), draw_blocks(rng, 10, blocks, machine))
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / count <= 0.97


def test_no_difference_is_an_answer() -> None:
    rng = np.random.default_rng(0)
    machine = rng.normal(0, 0.1, 40)
    base = draw_blocks(rng, 10, 40, machine)
    same = compare(draw_blocks(rng, 10, 40, machine), base)
    assert same.verdict == "no difference" and same.value == pytest.approx(1, abs=0.02)
    assert compare(draw_blocks(rng, 9, 40, machine), base).verdict == "faster"
    assert compare(draw_blocks(rng, 11, 40, machine), base).verdict == "slower"
    exact = compare(base * 1.5, base)
    assert exact.low == exact.value == exact.high == pytest.approx(1.5)


def test_turns_take_as_many_runs_as_the_mode_asks() -> None:
    fast, slow = Scripted(lambda n: 1.0), Scripted(lambda n: 50.0)
    shares: list[float] = []
    times = take_turns({"fast": fast, "slow": slow}, BRIEF, shares.append)
    assert times["fast"].size >= 1000 and times["slow"].size >= 200
    assert len(times["fast"]) == len(times["slow"]) >= 20
    # Each turn begins with runs that do not count; warming up took at least half a second.
    assert all(warm == 2 for warm, _ in fast.log[50:])
    assert sum(count for warm, count in fast.log if not warm) >= 500
    assert shares == sorted(shares) and shares[-1] == 1


@pytest.mark.parametrize("run_ms", [0.05, 1.0, 15.0, 300.0])
def test_standard_mode_takes_1024_runs_and_a_minute(run_ms: float) -> None:
    size, blocks = plan_block(run_ms, MODES["standard"])
    assert size * blocks >= 1024 and size * blocks * run_ms >= 60_000
    assert blocks >= 60
