"""How does a picture of any shape become the input of a detector or segmenter? Travels with every checkpoint."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rapidnet.data.dense_transforms import DenseEvaluation

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class DensePreprocessing:
    """Pictures are resized to the largest size within short_side and long_side pixels.

    mean and std per RGB channel in [0, 1]. align: sides are rounded up to multiples of `multiple` (as in segmentation);
    else a picture keeps its shape and is padded to them, at the right and the bottom, with the mean colour.
    """

    short_side: int
    long_side: int
    mean: Triple
    std: Triple
    align: bool
    multiple: int = 32

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DensePreprocessing":
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def transform(self) -> DenseEvaluation:
        """What happens to a picture before evaluation and prediction, by Pillow; targets stay as they are."""
        return DenseEvaluation(self.short_side, self.long_side, self.multiple if self.align else 1)

    @property
    def fill(self) -> tuple[int, int, int]:
        """The colour of padding, 0 to 255."""
        red, green, blue = (round(255 * value) for value in self.mean)
        return red, green, blue

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32 of the same shape, zero mean and unit variance per channel."""
        return (images.float() - self._channels(self.mean, images)) / self._channels(self.std, images)

    def _channels(self, values: Sequence[float], like: Tensor) -> Tensor:
        return 255 * torch.tensor(values, device=like.device).view(1, 3, 1, 1)
