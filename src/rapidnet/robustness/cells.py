"""What is kept of a subject's answers to one kind at one severity, and what is computed from it?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from rapidnet.evaluation.metrics import ClassificationMeter, wilson_interval
from rapidnet.runtimes.network import Array

CLEAN = ("clean", 0)
Key = tuple[str, int]
"""Kind and severity; CLEAN is the pictures as they are."""


class Cell:
    """Answers to the same pictures under one condition.

    Args:
        classes: of the subject, in the order of its probabilities.
    """

    def __init__(self, classes: list[str]) -> None:
        self.meter = ClassificationMeter(classes)
        self._right: list[Array] = []

    def update(self, probabilities: Array, labels: Array) -> None:
        """probabilities [B, C], labels [B]."""
        self.meter.update(probabilities, labels)
        self._right.append(probabilities.argmax(1) == labels)

    @property
    def right(self) -> Array:
        """bool [N]: for each picture, whether the first answer was right."""
        return np.concatenate(self._right)

    def compute(self) -> dict[str, Any]:
        """top1 with top1_interval (95 % Wilson) and ece, in percent."""
        facts = self.meter.compute()
        return {name: facts[name] for name in ("top1", "top1_interval", "ece")}


def average(rights: Sequence[Array], level: float = 0.95) -> dict[str, Any]:
    """Mean accuracy over conditions, in percent; its interval takes pictures, not answers, for independent.

    Args:
        rights: bool [N] of each condition, the same pictures in each.
    """
    return _describe_mean(np.mean(np.stack(rights), 0), level)


def compare_averages(ours: Sequence[Array], theirs: Sequence[Array], level: float = 0.95) -> dict[str, Any]:
    """Difference of two means over conditions, picture by picture, as `metrics.compare_pairs`."""
    facts = _describe_mean(np.mean(np.stack(ours), 0) - np.mean(np.stack(theirs), 0), level)
    return {"difference": facts["mean"], "difference_interval": facts["interval"]}


def _describe_mean(values: Array, level: float) -> dict[str, Any]:
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) if len(values) > 1 else 1.0
    reach = float(norm.ppf((1 + level) / 2)) * spread / len(values) ** 0.5
    return {"mean": 100 * mean, "interval": [100 * (mean - reach), 100 * (mean + reach)]}


def describe_share(right: Array) -> dict[str, Any]:
    """Accuracy in percent with its 95 % Wilson interval."""
    hits, count = int(right.sum()), len(right)
    return {"top1": 100 * hits / count, "top1_interval": list(wilson_interval(hits, count))}
