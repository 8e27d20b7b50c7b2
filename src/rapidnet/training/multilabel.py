"""What does a network learn from images that carry several labels? Each label's presence, by itself."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rapidnet.config import AugmentConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.training.tasks import ClassificationTask, Output


class MultiLabelTask(ClassificationTask):
    """Binary cross-entropy of every label, with label smoothing, mixup, CutMix and random erasing as the recipe asks.

    Args:
        weights: what absence and presence of each label count, [2, num_classes]; None: all count alike.
    """

    name = "multilabel"

    def __init__(
        self,
        num_classes: int,
        augment: AugmentConfig,
        preprocessing: Preprocessing,
        seed: int = 0,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(num_classes, augment, preprocessing, seed=seed)
        self.label_weights = None if weights is None else torch.from_numpy(weights).float()
        if self.mixup is not None:
            # What is mixed below are images' shares; smoothing them would bring in images that are not there.
            self.mixup.label_smoothing = 0.0

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Network input and targets [B, num_classes] -> mixed images and targets, or both as they are.

        A mixed image carries the labels of both, each with its image's share of the mixture.
        """
        if self.mixup is not None:
            self.mixup.num_classes = len(images)
        images, shares = super().mix(images, torch.arange(len(images), device=targets.device))
        return images, shares.to(targets) @ targets if shares.is_floating_point() else targets

    def loss(self, output: Output, targets: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Mean over images and labels of the binary cross-entropy, in nats; smoothing pulls both answers to 0.5."""
        logits = output[0] if isinstance(output, tuple) else output
        smoothing = self.augment.label_smoothing
        smooth = targets * (1 - smoothing) + smoothing / 2
        if self.label_weights is None:
            return F.binary_cross_entropy_with_logits(logits, smooth)
        # The weight belongs to the label as it is: weighing the smoothed part would teach rare labels everywhere.
        absent, present = self.label_weights.to(targets)
        return F.binary_cross_entropy_with_logits(logits, smooth, absent + targets * (present - absent))

    @staticmethod
    def count_correct(output: Output, targets: Tensor) -> int:
        """Images whose likeliest label is one of theirs; of a mixed image, one of the larger part."""
        logits = output[0] if isinstance(output, tuple) else output
        if not len(logits):
            return 0
        return int((targets.gather(1, logits.argmax(1, keepdim=True)) >= 0.5).sum())
