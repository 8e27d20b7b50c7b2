"""How good are the classes of pixels, and with what uncertainty? Needs no torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rapidnet.data.dense_records import IGNORE
from rapidnet.errors import UserError

RESAMPLES = 1000
LEVEL = 0.95

Array = NDArray[Any]


class SegmentationMeter:
    """Counts the pixels of each true and each predicted class; keeps three counts a class for every picture.

    Args:
        classes: names, from 0, at most 255.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        self._pictures: list[Array] = []

    def update(self, predicted: Array, targets: Array) -> None:
        """Add a picture or a batch of one size; arrays may be tensors on the CPU.

        Args:
            predicted: integers [H, W] or [B, H, W] within [0, C).
            targets: the same shape; 255 is left out.
        Raises:
            ValueError: another shape, or a class that does not exist.
        """
        predicted, targets = np.asarray(predicted), np.asarray(targets)
        if predicted.shape != targets.shape or predicted.ndim not in (2, 3):
            raise ValueError(f"predictions are {list(predicted.shape)}, targets {list(targets.shape)}; not both [H, W]")
        if not (np.issubdtype(predicted.dtype, np.integer) and np.issubdtype(targets.dtype, np.integer)):
            raise ValueError(f"{predicted.dtype} and {targets.dtype} are no classes; were logits given?")
        if predicted.ndim == 3:
            for one, truth in zip(predicted, targets, strict=True):
                self.update(one, truth)
            return
        count = len(self.classes)
        known = targets != IGNORE
        answers, truth = predicted[known].astype(np.int64), targets[known].astype(np.int64)
        for values, side in ((answers, "predicted"), (truth, "true")):
            if len(values) and (values.min() < 0 or values.max() >= count):
                raise ValueError(f"a {side} class lies outside [0, {count})")
        confusion = np.bincount(truth * count + answers, minlength=count * count).reshape(count, count)
        self.confusion += confusion
        self._pictures.append(np.stack([confusion.diagonal(), confusion.sum(1), confusion.sum(0)]))

    def merge(self, other: "SegmentationMeter") -> None:
        """Add what another meter over the same classes collected from other pictures."""
        self.confusion = self.confusion + other.confusion
        self._pictures += other._pictures

    def compute(self, seed: int = 0) -> dict[str, Any]:
        """What is known so far, in values that JSON can hold; shares in percent, None where a class does not occur.

        Returns:
            images, pixels: how many, ignored pixels left out; miou: the mean intersection over union of the classes
            that occur, be it only in answers; miou_interval: 95 % percentile bootstrap over the pictures, [low,
            high], None for one picture; pixel_accuracy; mean_accuracy (mean recall); per_class: class, share (of the
            pixels), iou, accuracy; confusion: counts [C][C], rows the true class, columns the predicted one.
        Raises:
            UserError: no picture, or none with a pixel that has a class.
        """
        pixels = int(self.confusion.sum())
        if not pixels:
            raise UserError("not one pixel could be measured; check that the masks hold more than ignored pixels")
        totals = np.stack([self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)])
        iou, recall = compute_iou(totals), _divide(totals[0], totals[1])
        return {
            "images": len(self._pictures),
            "pixels": pixels,
            "miou": 100 * float(np.nanmean(iou)),
            "miou_interval": self._bootstrap(seed),
            "pixel_accuracy": 100 * float(totals[0].sum() / pixels),
            "mean_accuracy": 100 * float(np.nanmean(recall)),
            "per_class": [
                {
                    "class": name,
                    "share": 100 * float(totals[1, label] / pixels),
                    "iou": _percent(iou[label]),
                    "accuracy": _percent(recall[label]),
                }
                for label, name in enumerate(self.classes)
            ],
            "confusion": self.confusion.tolist(),
        }

    def _bootstrap(self, seed: int) -> list[float] | None:
        """mIoU of as many pictures drawn with replacement, RESAMPLES times."""
        count = len(self._pictures)
        if count < 2:
            return None
        rng = np.random.default_rng(seed)
        counts = np.stack(self._pictures).astype(np.float64).reshape(count, -1)
        times = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
        # Resampled pictures that are all ignored have no class and say nothing.
        drawn = (times @ counts).reshape(RESAMPLES, 3, -1).transpose(1, 0, 2)
        iou = compute_iou(drawn)
        means = np.nanmean(iou[np.isfinite(iou).any(1)], axis=1)
        tail = 100 * (1 - LEVEL) / 2
        low, high = np.percentile(100 * means, [tail, 100 - tail])
        return [float(low), float(high)]


def compute_iou(counts: Array) -> Array:
    """Intersection over union [...] of (both, true, predicted) pixels [3, ...]; NaN where a class does not occur."""
    return _divide(counts[0], counts[1] + counts[2] - counts[0])


def _divide(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _percent(share: float) -> float | None:
    return None if np.isnan(share) else 100 * float(share)
