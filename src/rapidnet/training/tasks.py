"""What does a network learn from a batch? The loss of each task."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn

from rapidnet.config import AugmentConfig, DistillationConfig
from rapidnet.data.loading import Batch, Key
from rapidnet.data.transforms import Preprocessing, seed_all

Output = Tensor | tuple[Tensor, Tensor]
"""Logits [B, num_classes], or those of the two heads of a network that learns from a teacher."""


class ClassificationTask:
    """Cross-entropy with label smoothing, mixup, CutMix, random erasing and distillation, as the recipe asks.

    `guide` maps the network's input and the keys of its images to the teacher's logits [B, num_classes].
    `weights` [num_classes] say what an image of each class counts, None: all alike; a mixed image counts by its parts.
    """

    name = "classification"

    def __init__(
        self,
        num_classes: int,
        augment: AugmentConfig,
        preprocessing: Preprocessing,
        distillation: DistillationConfig | None = None,
        guide: Callable[[Tensor, list[Key]], Tensor] | None = None,
        seed: int = 0,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.seed = seed
        self.class_weights = None if weights is None else torch.from_numpy(weights).float()
        self.augment, self.preprocessing = augment, preprocessing
        self.distillation, self.guide = distillation or DistillationConfig(), guide
        self.erase = (
            RandomErasing(augment.random_erasing, mode="pixel", device="cpu") if augment.random_erasing else None
        )
        self.mixup: Mixup | None = None
        if augment.mixup or augment.cutmix:
            self.mixup = Mixup(
                augment.mixup,
                augment.cutmix,
                prob=augment.mix_prob,
                label_smoothing=augment.label_smoothing,
                num_classes=num_classes,
            )

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.images, batch.targets

    def prepare(self, images: Tensor, keys: list[Key]) -> Tensor:
        """uint8 [B, 3, H, W] -> network input, with random rectangles erased by (seed, key) of each image."""
        images = self.preprocessing.normalize(images)
        if self.erase is not None:
            self.erase.device = images.device
            for row, key in enumerate(keys):
                seed_all(self.seed, 2, *key)
                images[row] = self.erase(images[row])
        return images

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Network input and labels [B] -> mixed images and targets [B, num_classes], or both as they are.

        Draws from Python's, numpy's and torch's generators: seed them to repeat a batch.
        """
        # timm mixes a batch with its mirror image and so needs an even number; an odd one (an unreadable image was
        # left out) is trained on unmixed.
        if self.mixup is not None and len(images) and len(images) % 2 == 0:
            images, targets = self.mixup(images, targets)
        return images, targets

    def forward(self, model: nn.Module, images: Tensor, targets: Tensor) -> Output:
        """Logits [B, num_classes], or two of them; the targets are left to `loss`."""
        output: Output = model(images)
        return output

    def loss(self, output: Output, targets: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Mean loss in nats of logits [B, num_classes]: labels, and the teacher's logits if there are any.

        With two heads the first learns the labels, the second the teacher (Touvron et al. 2021, sec. 4).
        """
        logits, logits_dist = output if isinstance(output, tuple) else (output, output)
        smoothing = 0.0 if targets.is_floating_point() else self.augment.label_smoothing
        if self.class_weights is None:
            loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        else:
            losses = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
            loss = (losses * self.weigh(targets, self.class_weights.to(targets.device))).mean()
        if teacher is None:
            return loss
        alpha = self.distillation.alpha
        return (1 - alpha) * loss + alpha * self.distillation_loss(logits_dist, teacher)

    def weigh(self, targets: Tensor, weights: Tensor) -> Tensor:
        """What each image counts [B], from its class or from the classes mixed in it."""
        if not targets.is_floating_point():
            return weights[targets]
        # Mixing has smoothed the targets already; a rare class must not lend its weight to every image.
        smoothing = self.augment.label_smoothing
        return (targets.to(weights) @ weights - smoothing * weights.mean()) / (1 - smoothing)

    def distillation_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Hard: cross-entropy with the class the teacher names; soft: T^2 KL(teacher || student) at temperature T."""
        if self.distillation.type == "hard":
            return F.cross_entropy(logits, teacher.argmax(1))
        t = self.distillation.temperature
        student, wanted = F.log_softmax(logits / t, 1), F.log_softmax(teacher / t, 1)
        return F.kl_div(student, wanted, reduction="batchmean", log_target=True) * t**2

    @staticmethod
    def count_correct(output: Output, targets: Tensor) -> int:
        """How many images the network names right; for a mixed image, the larger part counts."""
        logits = output[0] if isinstance(output, tuple) else output
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        return int(torch.sum(logits.argmax(1) == labels))
