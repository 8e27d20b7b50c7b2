"""How good are the answers where an image may carry several labels?"""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from rapidnet.errors import UserError

THRESHOLD = 0.5
TINY = 1e-12


class MultiLabelMeter:
    """Collects probabilities and labels batch by batch.

    Args:
        classes: names, in the order of the probabilities' columns.
    """

    def __init__(self, classes: list[str]) -> None:
        self.classes = list(classes)
        self._probabilities: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []

    def update(self, probabilities: np.ndarray, targets: np.ndarray) -> None:
        """Add a batch.

        Args:
            probabilities: [N, C], each within [0, 1] by itself; targets: [N, C], 0 or 1.
        Raises:
            ValueError: another shape or range.
            UserError: NaN or infinite probabilities, as a diverged network gives.
        """
        probabilities, targets = np.asarray(probabilities, dtype=np.float32), np.asarray(targets)
        shape = (len(targets), len(self.classes))
        if probabilities.shape != shape or targets.shape != shape:
            raise ValueError(f"probabilities {list(probabilities.shape)}, targets {list(targets.shape)}; not {shape}")
        if not np.isfinite(probabilities).all():
            raise UserError(
                "the network answers with NaN or infinite probabilities, so nothing can be measured; "
                "train it with a lower --optimizer.lr, or with --precision 32-true"
            )
        if probabilities.size and (probabilities.min() < 0 or probabilities.max() > 1.01):
            raise ValueError("probabilities lie outside [0, 1]; were logits given?")
        if not np.isin(targets, (0, 1)).all():
            raise ValueError("targets must be 0 or 1")
        self._probabilities.append(probabilities)
        self._targets.append(targets.astype(bool))

    def merge(self, other: "MultiLabelMeter") -> None:
        """Add what another meter over the same classes collected from other images."""
        self._probabilities += other._probabilities
        self._targets += other._targets

    def compute(self) -> dict[str, Any]:
        """What is known so far, in values that JSON can hold; shares in percent, undefined ones None.

        Returns:
            images; map: mean over the classes of average precision (area under the stepwise precision-recall curve),
            classes without a positive image left out and listed in without_positives; macro_f1 over the same classes
            and micro_f1 over all decisions, at a threshold of 0.5; bce: mean binary cross-entropy in nats,
            probabilities below 1e-12 counting as that; per_class: class, support, ap, precision, recall, f1.
        Raises:
            UserError: no image was measured, or none has a label.
        """
        if not sum(map(len, self._targets)):
            raise UserError("not one image could be measured; check that the folder holds readable images")
        probabilities, targets = np.concatenate(self._probabilities), np.concatenate(self._targets)
        if not targets.any():
            raise UserError("none of the validation images carries a label, so there is nothing to measure; label some")
        per_class = [describe_class(name, probabilities[:, i], targets[:, i]) for i, name in enumerate(self.classes)]
        known = [facts for facts in per_class if facts["support"]]
        hits, answers = int((targets & (probabilities >= THRESHOLD)).sum()), int((probabilities >= THRESHOLD).sum())
        own = np.maximum(np.where(targets, probabilities, 1 - probabilities).astype(np.float64), TINY)
        return {
            "images": len(targets),
            "map": float(np.mean([facts["ap"] for facts in known])),
            "macro_f1": float(np.mean([facts["f1"] for facts in known])),
            "micro_f1": 200 * hits / (answers + int(targets.sum())),
            "bce": float(-np.log(own).mean()),
            "without_positives": [facts["class"] for facts in per_class if not facts["support"]],
            "per_class": per_class,
        }


def describe_class(name: str, probabilities: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """One label's facts from its probabilities [N] and presence [N]; percent."""
    answered = probabilities >= THRESHOLD
    hits, support, answers = int((answered & targets).sum()), int(targets.sum()), int(answered.sum())
    ap = 100 * float(average_precision_score(targets, probabilities)) if support else None
    return {
        "class": name,
        "support": support,
        "ap": ap,
        "precision": 100 * hits / answers if answers else None,
        "recall": 100 * hits / support if support else None,
        "f1": 200 * hits / (support + answers) if support else None,
    }
