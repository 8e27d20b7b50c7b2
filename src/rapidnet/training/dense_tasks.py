"""What does a detector or a segmenter learn from a batch?"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rapidnet.data.dense_loading import ObjectBatch, SegmentationBatch
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.data.dense_records import IGNORE
from rapidnet.data.dense_samples import Targets
from rapidnet.data.loading import Key

Losses = dict[str, Tensor]
NEEDED = ("boxes", "labels", "masks")
"""What of a picture's targets the network is told."""
BLANK = 64


class DetectionTask:
    """The sum of a detector's own losses, with equal weights, as in the papers of its head.

    `task` is detect or instance; what the losses are called and how they are computed is the network's.
    """

    guide = None

    def __init__(self, task: str) -> None:
        self.name = task

    def read(self, batch: ObjectBatch) -> tuple[list[Tensor], list[Targets]]:
        return batch.images, [{key: targets[key] for key in NEEDED if key in targets} for targets in batch.targets]  # type: ignore[literal-required, misc]

    def prepare(self, images: list[Tensor], keys: list[Key]) -> list[Tensor]:
        """uint8 [3, H, W] each -> [0, 1]; the network normalises, resizes to nothing and pads."""
        return [image.float() / 255 for image in images]

    def mix(self, images: list[Tensor], targets: list[Targets]) -> tuple[list[Tensor], list[Targets]]:
        return images, targets

    def forward(self, model: nn.Module, images: list[Tensor], targets: list[Targets]) -> Losses:
        """Losses by name; those of a blank picture where there is none, since another process may have some."""
        if not images:
            weight = next(model.parameters())
            images = [weight.new_zeros(3, BLANK, BLANK, dtype=torch.float32)]
            targets = [Targets(boxes=weight.new_zeros(0, 4), labels=weight.new_zeros(0, dtype=torch.int64))]
            if self.name == "instance":
                targets[0]["masks"] = weight.new_zeros(0, BLANK, BLANK, dtype=torch.bool)
        losses: Losses = model(images, targets)
        return losses

    def loss(self, output: Losses, targets: list[Targets], teacher: Tensor | None = None) -> Tensor:
        return torch.stack([loss.float() for loss in output.values()]).sum()

    @staticmethod
    def count_correct(output: Losses, targets: list[Targets]) -> float:
        """Nothing can be counted: a detector in training gives losses alone."""
        return 0.0


class SegmentationTask:
    """Cross-entropy of every pixel that has a class, at the size of the mask."""

    name = "semantic"
    guide = None

    def __init__(self, preprocessing: DensePreprocessing) -> None:
        self.preprocessing = preprocessing

    def read(self, batch: SegmentationBatch) -> tuple[Tensor, Tensor]:
        assert batch.masks is not None
        return batch.images, batch.masks

    def prepare(self, images: Tensor, keys: list[Key]) -> Tensor:
        """uint8 [B, 3, H, W] -> network input; padding has the mean colour, which becomes nearly zero."""
        return self.preprocessing.normalize(images)

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return images, targets

    def forward(self, model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Logits [B, num_classes, h, w], smaller than the mask."""
        logits: Tensor = model(images)
        return logits

    def loss(self, output: Tensor, targets: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Mean over the pixels of the batch that have a class, in nats; 0 where none has.

        Args:
            output: logits [B, C, h, w], interpolated bilinearly (align_corners=False) to the masks' size.
            targets: uint8 [B, H, W], 255 where no class is known.
        """
        logits = F.interpolate(output.float(), targets.shape[1:], mode="bilinear", align_corners=False)
        losses = F.cross_entropy(logits, targets.long(), ignore_index=IGNORE, reduction="sum")
        return losses / (targets != IGNORE).sum().clamp(min=1)

    @staticmethod
    def count_correct(output: Tensor, targets: Tensor) -> float:
        """The share of right pixels, at the logits' size, as a number of pictures."""
        with torch.no_grad():
            nearest = F.interpolate(targets[:, None].float(), output.shape[2:], mode="nearest-exact")[:, 0]
            known = nearest != IGNORE
            right = (output.argmax(1) == nearest) & known
            return len(targets) * float(right.sum() / known.sum().clamp(min=1))


def build_dense_task(task: str, preprocessing: DensePreprocessing) -> Any:
    """The task named as in `TrainConfig`."""
    return SegmentationTask(preprocessing) if task == "semantic" else DetectionTask(task)
