"""How do rare classes get their say: by being drawn more often, or by counting more?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rapidnet.data.folder import Sample
from rapidnet.data.loading import EpochSampler, Key

Array = NDArray[np.float64]


def count_labels(samples: Sequence[Sample], num_classes: int) -> NDArray[np.int64]:
    """Images [num_classes] that carry each class."""
    carried = [label for sample in samples for label in sample.labels]
    return np.bincount(np.array(carried, dtype=np.int64), minlength=num_classes)


def weigh_samples(samples: Sequence[Sample], num_classes: int, power: float) -> Array:
    """How often to draw each image [N], in relation: its class's count to the power of -`power`.

    1 draws every class equally often, 0.5 goes half the way (square-root sampling; Mahajan et al. 2018, sec. 2.2). An
    image of several classes is drawn like one of its rarest (Gupta et al. 2019, LVIS), one of none like the commonest.
    """
    counts = np.maximum(count_labels(samples, num_classes), 1)
    weights = counts.astype(np.float64) ** -power
    return np.array([max((weights[label] for label in sample.labels), default=weights.min()) for sample in samples])


def weigh_classes(counts: NDArray[np.int64], beta: float) -> Array:
    """What an image of each class [C] counts in the loss, so that the mean over all images is 1.

    Inverse to the effective number of images, (1 - beta^n) / (1 - beta): near 0 all count alike, near 1 inversely to
    their number. The mean of 1 over images (the paper takes it over classes) keeps the loss's scale and so the
    learning rate. A class without images gets 0.

    Source: Cui et al., Class-balanced loss based on effective number of samples, CVPR 2019, Eq. 2.

    Args:
        counts: images of each class [C]; beta: within [0, 1).
    """
    present = counts > 0
    effective = (1 - beta ** counts.astype(np.float64)) / (1 - beta)
    weights = np.divide(1.0, effective, out=np.zeros(len(counts)), where=present)
    scaled: Array = weights * counts.sum() / (weights * counts).sum()
    return scaled


def weigh_labels(counts: NDArray[np.int64], images: int, beta: float) -> Array:
    """What a label's presence and absence count [2, C] in the loss: `weigh_classes` of each label's two answers.

    Row 0 is for absence, row 1 for presence; over the images, each label's mean weight is 1.
    """
    return np.stack([weigh_classes(np.array([images - count, count]), beta) for count in counts], axis=1)


class BalancedSampler(EpochSampler):
    """As many keys an epoch as there are images, each image drawn in proportion to its weight, by (seed, epoch).

    Systematic sampling: an image expected 2.3 times is drawn 2 or 3 times, never 0 or 7, so that a common class loses
    as few of its images as it must. Drawn again, an image has a third number in its key and so other augmentation.

    Args:
        weights: positive [N]; only their relation matters.
    """

    def __init__(self, weights: Array, seed: int) -> None:
        super().__init__(len(weights), seed)
        self.weights = weights / weights.sum()

    def draw(self) -> list[Key]:
        rng = np.random.default_rng([self.seed, self.epoch, 29])
        # In the images' own order neighbours would exclude each other in every epoch.
        order = rng.permutation(self.length)
        edges = np.cumsum(self.weights[order])
        marks = (np.arange(self.length) + rng.random()) / self.length * edges[-1]
        found = np.minimum(np.searchsorted(edges, marks, side="right"), self.length - 1)
        drawn = rng.permutation(order[found])
        times: dict[int, int] = {}
        keys: list[Key] = []
        for index in map(int, drawn):
            keys.append((self.epoch, index, times[index]) if index in times else (self.epoch, index))
            times[index] = times.get(index, 0) + 1
        return keys
