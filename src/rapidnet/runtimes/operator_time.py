"""What does a runtime tell of one operator of a network: the time it took, or what it is expected to cost?"""

from dataclasses import dataclass
from statistics import median

WARM_RUNS = 5
OUTSIDE = "CPU, outside the delegate"
"""What ran an operator that a delegate left to the runtime's own kernels."""


@dataclass(frozen=True)
class OperatorTime:
    """One operator of a network: its kind by the runtime's own name, what ran it, median milliseconds of a run."""

    name: str
    kind: str
    unit: str
    ms: float


@dataclass(frozen=True)
class OperatorEstimate:
    """One operator of a network that was not timed: what would run it, its share of the whole cost (0 to 1)."""

    name: str
    kind: str
    unit: str
    share: float


Operators = list[OperatorTime] | list[OperatorEstimate]


def take_medians(times: dict[tuple[str, str, str], list[float]]) -> list[OperatorTime]:
    """Milliseconds of every measured run by (name, kind, unit) -> operators; what takes less than can be told, 0."""
    return [OperatorTime(*key, max(0.0, median(values))) for key, values in times.items()]
