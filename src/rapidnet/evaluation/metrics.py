"""How good is a classifier, and with what uncertainty? Needs no torch."""

from typing import Any, Protocol

import numpy as np
from scipy.stats import binomtest, norm

from rapidnet.errors import UserError

BINS = 15
TINY = 1e-12


class Meter(Protocol):
    """Collects probabilities [N, C] and targets batch by batch, and computes results from them."""

    def update(self, probabilities: np.ndarray, targets: np.ndarray) -> None: ...

    def compute(self) -> dict[str, Any]: ...

    def merge(self, other: Any) -> None: ...


def wilson_interval(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval (low, high) of a proportion, both in percent.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927.

    Args:
        successes, total: 0 <= successes <= total, total at least 1.
        level: coverage, within (0, 1).
    Raises:
        ValueError: arguments outside these ranges.
    """
    interval = binomtest(int(successes), int(total)).proportion_ci(level, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def compare_pairs(ours: np.ndarray, theirs: np.ndarray, level: float = 0.95) -> dict[str, Any]:
    """Difference of two accuracies on the same pictures, in percentage points, with its interval.

    Source: Agresti & Min, Simple improved confidence intervals for comparing matched proportions, Statistics in
    Medicine 2005: Wald's interval after adding half a pair to each of the four cells.

    Args:
        ours, theirs: bool [N], picture by picture.
    """
    count = len(ours)
    gained, lost = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    b, c, n = gained + 0.5, lost + 0.5, count + 2
    middle, error = (b - c) / n, float(np.sqrt((b + c) - (b - c) ** 2 / n)) / n
    reach = float(norm.ppf((1 + level) / 2)) * error
    return {
        "difference": 100 * (gained - lost) / count,
        "difference_interval": [100 * max(-1.0, middle - reach), 100 * min(1.0, middle + reach)],
    }


class ClassificationMeter:
    """Collects probabilities and targets batch by batch; keeps a few numbers for each image, not its probabilities.

    Args:
        classes: at least two class names, in the order of the probabilities' columns.
    """

    def __init__(self, classes: list[str]) -> None:
        if len(classes) < 2:
            raise ValueError(f"a classifier needs at least two classes, not {len(classes)}")
        self.classes = list(classes)
        self._columns: list[tuple[np.ndarray, ...]] = []

    def update(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch.

        Args:
            probabilities: [N, C], within [0, 1] (not logits).
            targets: integers [N] within [0, C).
        Raises:
            ValueError: another shape or range.
            UserError: NaN or infinite probabilities, as a diverged network gives.
        """
        probabilities, targets = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
        self._check(probabilities, targets)
        rows = np.arange(len(targets))
        predicted = probabilities.argmax(1)
        own = probabilities[rows, targets][:, None]
        # Among equals the lower index comes first, as in argmax: a network that answers the same for all gains nothing.
        tied_ahead = (probabilities == own) & (np.arange(len(self.classes)) < targets[:, None])
        in_top5 = ((probabilities > own) | tied_ahead).sum(1) < 5
        nll = -np.log(np.maximum(own[:, 0], TINY))
        self._columns.append((targets.astype(np.int64), predicted, in_top5, probabilities[rows, predicted], nll))

    def merge(self, other: "ClassificationMeter") -> None:
        """Add what another meter over the same classes collected from other images."""
        self._columns += other._columns

    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """The true class and the first answer of every image, in the order they came; integers [N]."""
        targets, predicted, *_ = self._gather()
        return targets, predicted

    def compute(self) -> dict[str, Any]:
        """What is known so far, in values that JSON can hold; shares in percent, undefined ones None.

        Returns:
            images: how many; top1, top5 (None for five classes or fewer) with top1_interval, top5_interval
            (95 % Wilson, [low, high]); ece: expected calibration error of 15 equal bins; nll: mean negative
            log-likelihood in nats, probabilities below 1e-12 counting as that; balanced_accuracy (mean recall) and
            macro_f1: means over the classes that have images; per_class: class, support, precision, recall, f1,
            recall_interval; confusion: counts [C][C], rows the true class, columns the predicted one.
        Raises:
            UserError: no image was measured.
        """
        targets, predicted, in_top5, _, nll = self._gather()
        count, has_top5 = len(targets), len(self.classes) > 5
        confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)
        np.add.at(confusion, (targets, predicted), 1)
        hits, hits5 = int(confusion.trace()), int(in_top5.sum())
        bins = self.reliability_bins()
        per_class = [self._describe_class(confusion, index) for index in range(len(self.classes))]
        return {
            "images": count,
            "top1": 100 * hits / count,
            "top1_interval": list(wilson_interval(hits, count)),
            "top5": 100 * hits5 / count if has_top5 else None,
            "top5_interval": list(wilson_interval(hits5, count)) if has_top5 else None,
            "ece": sum(
                n * abs(sure - right) / count
                for n, sure, right in zip(bins["count"], bins["confidence"], bins["accuracy"], strict=True)
                if n
            ),
            "nll": float(nll.mean()),
            "balanced_accuracy": float(np.mean([row["recall"] for row in per_class if row["recall"] is not None])),
            "macro_f1": float(np.mean([row["f1"] for row in per_class if row["f1"] is not None])),
            "per_class": per_class,
            "confusion": confusion.tolist(),
        }

    def reliability_bins(self) -> dict[str, list[Any]]:
        """How often the network is right at each confidence of its first answer, over the bins of `ece`.

        Returns:
            edges [16], count [15], confidence and accuracy [15]: percent except count; None in an empty bin.
        """
        targets, predicted, _, confidence, _ = self._gather()
        edges = np.linspace(0, 1, BINS + 1)
        # A confidence of one belongs to the last bin, as one a little above it that half precision makes.
        index = np.minimum(np.digitize(confidence, edges) - 1, BINS - 1)
        count = np.bincount(index, minlength=BINS).tolist()
        correct = (targets == predicted).astype(np.float64)
        sums = [np.bincount(index, weights=values, minlength=BINS).tolist() for values in (confidence, correct)]
        means = [[100 * s / n if n else None for s, n in zip(row, count, strict=True)] for row in sums]
        return {"edges": (100 * edges).tolist(), "count": count, "confidence": means[0], "accuracy": means[1]}

    def _check(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        shape = (len(targets), len(self.classes))
        if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
            raise ValueError(f"targets are {targets.dtype} {list(targets.shape)}; they must be integers [N]")
        if probabilities.shape != shape:
            raise ValueError(f"probabilities are {list(probabilities.shape)}; they must be {list(shape)}")
        if not np.isfinite(probabilities).all():
            raise UserError(
                "the network answers with NaN or infinite probabilities, so nothing can be measured; "
                "train it with a lower --optimizer.lr, or with --precision 32-true"
            )
        if len(targets) and (targets.min() < 0 or targets.max() >= len(self.classes)):
            raise ValueError(f"a target lies outside [0, {len(self.classes)})")
        # Half precision rounds a probability of 1 up a little.
        if len(targets) and (probabilities.min() < 0 or probabilities.max() > 1.01):
            raise ValueError("probabilities lie outside [0, 1]; were logits given?")

    def _gather(self) -> tuple[np.ndarray, ...]:
        if not sum(len(columns[0]) for columns in self._columns):
            raise UserError("not one image could be measured; check that the folder holds readable images")
        return tuple(np.concatenate(column) for column in zip(*self._columns, strict=True))

    def _describe_class(self, confusion: np.ndarray, index: int) -> dict[str, Any]:
        hits, support = int(confusion[index, index]), int(confusion[index].sum())
        answers = int(confusion[:, index].sum())
        return {
            "class": self.classes[index],
            "support": support,
            "precision": 100 * hits / answers if answers else None,
            "recall": 100 * hits / support if support else None,
            "f1": 200 * hits / (support + answers) if support else None,
            "recall_interval": list(wilson_interval(hits, support)) if support else None,
        }
