"""In which order and how often do networks run, so that whatever else the machine does falls on all of them alike?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rapidnet.runtimes.network import Array


class Runner(Protocol):
    """What takes turns: `run(count, warm)` gives milliseconds of `count` runs, after `warm` that do not count."""

    def run(self, count: int, warm: int) -> list[float]: ...


@dataclass(frozen=True)
class Mode:
    """How long to measure. Of each network: at least `runs` runs and `seconds` seconds, in at least `blocks` blocks,
    after at least `warm_runs` runs and `warm_seconds` seconds.

    headline: whether the figures may be quoted; otherwise they are indicative.
    """

    runs: int
    seconds: float
    blocks: int
    warm_runs: int
    warm_seconds: float
    headline: bool


MODES = {
    "quick": Mode(runs=100, seconds=5, blocks=20, warm_runs=10, warm_seconds=2, headline=False),
    "standard": Mode(runs=1024, seconds=60, blocks=60, warm_runs=10, warm_seconds=2, headline=True),
    "sustained": Mode(runs=1024, seconds=600, blocks=120, warm_runs=10, warm_seconds=2, headline=True),
}
"""standard is the protocol of docs/benchmark.md; sustained goes on for ten minutes, to show a machine that heats up."""
WARM_PER_TURN = 2
LONGEST_BLOCK = 1000


def take_turns(
    runners: Mapping[str, Runner], mode: Mode, report: Callable[[float], None] = lambda share: None, seed: int = 0
) -> dict[str, Array]:
    """Milliseconds of each runner, [blocks, runs]; blocks i of all were measured one right after the other.

    Their order within a round is drawn anew each time, so that nobody always follows the same neighbour. report: is
    told the share done after each turn.
    """
    sizes = {name: plan_block(warm_up(runner, mode), mode) for name, runner in runners.items()}
    rounds = max(rounds for _, rounds in sizes.values())
    times: dict[str, list[list[float]]] = {name: [] for name in runners}
    order = np.random.default_rng(seed)
    done = 0
    for _ in range(rounds):
        for name in order.permutation(list(runners)):
            times[name].append(runners[name].run(sizes[name][0], WARM_PER_TURN))
            done += 1
            report(done / (rounds * len(runners)))
    return {name: np.array(blocks) for name, blocks in times.items()}


def warm_up(runner: Runner, mode: Mode) -> float:
    """Run until warm; milliseconds of a run then."""
    times: list[float] = []
    while len(times) < mode.warm_runs or sum(times) < mode.warm_seconds * 1e3:
        times += runner.run(mode.warm_runs, 0)
    return float(np.median(times[-mode.warm_runs :]))


def plan_block(run_ms: float, mode: Mode) -> tuple[int, int]:
    """(runs in a block, blocks) that make up a mode for runs of `run_ms` milliseconds."""
    runs = max(mode.runs, int(np.ceil(mode.seconds * 1e3 / run_ms)))
    size = min(LONGEST_BLOCK, int(np.ceil(runs / mode.blocks)))
    return size, max(mode.blocks, int(np.ceil(runs / size)))
