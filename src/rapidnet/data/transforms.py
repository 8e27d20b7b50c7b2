"""What happens to an image between the decoder and the network?

Geometry and colour work on PIL images and end in uint8 tensors; normalisation happens on whole batches, where the
network runs (`Preprocessing.normalize`), so that four times fewer bytes travel.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from rapidnet.config import AugmentConfig
from rapidnet.errors import UserError

ImageTransform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input; travels with every checkpoint.

    image_size in pixels, crop_pct the share of the resized image kept by the centre crop, mean and std per RGB
    channel in [0, 1].
    """

    image_size: int
    crop_pct: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_model(cls, model: nn.Module, image_size: int, crop_pct: float = 0.0) -> "Preprocessing":
        """Take mean, std, interpolation and (if 0 is given) crop_pct from a timm network's pretrained_cfg."""
        cfg: Any = model.pretrained_cfg
        return cls(image_size, crop_pct or cfg["crop_pct"], cfg["interpolation"], tuple(cfg["mean"]), tuple(cfg["std"]))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def interpolation_mode(self) -> InterpolationMode:
        try:
            return InterpolationMode(self.interpolation)
        except ValueError:
            raise UserError(
                f"interpolation '{self.interpolation}' is unknown; use 'bicubic', 'bilinear' or 'nearest'"
            ) from None

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] in [0, 255] -> float32 of the same shape, zero mean and unit variance per channel."""
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1) * 255
        return (images.float() - mean) / std

    def build_transform(self) -> ImageTransform:
        """Resize the short side to image_size / crop_pct, crop the centre; PIL -> uint8 [3, S, S]."""
        return v2.Compose([
            v2.Resize(round(self.image_size / self.crop_pct), self.interpolation_mode),
            v2.CenterCrop(self.image_size),
            v2.PILToTensor(),
        ])  # fmt: skip


def build_train_transform(augment: AugmentConfig, preprocessing: Preprocessing) -> ImageTransform:
    """Random crop, flip, colour and RandAugment; PIL -> uint8 [3, S, S]."""
    steps: list[Callable[..., Any]] = [
        v2.RandomResizedCrop(
            preprocessing.image_size, augment.crop_scale, augment.crop_ratio, preprocessing.interpolation_mode
        ),
        v2.RandomHorizontalFlip(augment.hflip),
    ]
    if augment.color_jitter:
        steps.append(v2.ColorJitter(*[augment.color_jitter] * 3))
    if augment.rand_augment:
        fill = tuple(round(255 * value) for value in preprocessing.mean)
        try:
            steps.append(rand_augment_transform(augment.rand_augment, {"img_mean": fill}))
        except (AssertionError, ValueError, KeyError) as error:
            raise UserError(
                f"augment.rand_augment '{augment.rand_augment}' is not a setting timm knows ({error}); "
                "write it like rand-m9-mstd0.5-inc1"
            ) from None
    return v2.Compose([*steps, v2.PILToTensor()])


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Run a block with Python's, numpy's and torch's generators seeded by `key`; put them back afterwards.

    What is random about a sample then depends on (seed, epoch, index) alone: not on the worker that reads it, not
    on what was read before, and so not on a run having been interrupted.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_all(*key)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def seed_all(*key: int) -> None:
    """Seed Python's, numpy's and torch's generators from a tuple of non-negative integers."""
    first, second, third = (int(word) for word in np.random.SeedSequence(key).generate_state(3))
    random.seed(first)
    np.random.seed(second)
    torch.manual_seed(third)
