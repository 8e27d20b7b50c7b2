"""What does a network learn from a batch? The loss of each task."""

import torch
import torch.nn.functional as F
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor

from rapidnet.config import AugmentConfig
from rapidnet.data.transforms import Preprocessing


class ClassificationTask:
    """Cross-entropy with label smoothing, mixup, CutMix and random erasing, as the recipe asks."""

    def __init__(self, num_classes: int, augment: AugmentConfig, preprocessing: Preprocessing) -> None:
        self.augment, self.preprocessing = augment, preprocessing
        self.erase = (
            RandomErasing(augment.random_erasing, mode="pixel", device="cpu") if augment.random_erasing else None
        )
        self.mix = None
        if augment.mixup or augment.cutmix:
            self.mix = Mixup(
                augment.mixup,
                augment.cutmix,
                prob=augment.mix_prob,
                label_smoothing=augment.label_smoothing,
                num_classes=num_classes,
            )

    def prepare(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [B, 3, H, W] and labels [B] -> network input and targets, [B] or mixed [B, num_classes].

        Draws from Python's, numpy's and torch's generators: seed them to repeat a batch.
        """
        images = self.preprocessing.normalize(images)
        if self.erase is not None:
            self.erase.device = images.device
            images = self.erase(images)
        # timm mixes a batch with its mirror image and so needs an even number; an odd one (an unreadable image was
        # left out) is trained on unmixed.
        if self.mix is not None and len(images) % 2 == 0:
            images, targets = self.mix(images, targets)
        return images, targets

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of logits [B, num_classes] in nats."""
        smoothing = 0.0 if targets.is_floating_point() else self.augment.label_smoothing
        return F.cross_entropy(logits, targets, label_smoothing=smoothing)

    @staticmethod
    def count_correct(logits: Tensor, targets: Tensor) -> int:
        """How many images the network names right; for a mixed image, the larger part counts."""
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        return int(torch.sum(logits.argmax(1) == labels))
