"""What happens to an image between the decoder and the network?

Training works on uint8 tensors in channels-last memory from the decoder on. Evaluation keeps Pillow's resize, whose
pixels exported networks are promised; torchvision's differs by up to two levels. Normalisation happens on whole
batches, where the network runs (`Preprocessing.normalize`), so that four times fewer bytes travel.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from rapidnet.config import AugmentConfig
from rapidnet.data.color_operations import Pixels, change_brightness, change_color, change_contrast
from rapidnet.data.rand_augment import RandAugment
from rapidnet.errors import UserError
from rapidnet.images import prepare_image

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
        mean = torch.tensor(self.mean, device=images.device) * 255
        std = torch.tensor(self.std, device=images.device) * 255
        if images.is_contiguous(memory_format=torch.channels_last):
            # Three channels at a time leave vector units idle; a whole row with its constants repeated does not.
            width = images.shape[3]
            rows = images.permute(0, 2, 3, 1).reshape(-1, width * 3).to(torch.float32, copy=True)
            rows.sub_(mean.repeat(width)).div_(std.repeat(width))
            return rows.view(len(images), images.shape[2], width, 3).permute(0, 3, 1, 2)
        return images.to(torch.float32, copy=True).sub_(mean.view(1, 3, 1, 1)).div_(std.view(1, 3, 1, 1))

    def __call__(self, image: Image.Image) -> Tensor:
        """Resize the short side to image_size / crop_pct, crop the centre; PIL -> uint8 [3, S, S]."""
        pixels = prepare_image(image, self.image_size, self.crop_pct, self.interpolation)
        return torch.from_numpy(np.ascontiguousarray(pixels))


class TrainTransform:
    """Random crop, flip, colour and RandAugment of one image.

    All that is random is drawn from the generator it is handed, never from a global one.
    """

    def __init__(self, augment: AugmentConfig, preprocessing: Preprocessing, sizes: Sequence[int] = ()) -> None:
        self.augment, self.size, self.sizes = augment, preprocessing.image_size, tuple(sizes)
        self.interpolation = preprocessing.interpolation_mode
        red, green, blue = (round(255 * value) for value in preprocessing.mean)
        fill = (red, green, blue)
        self.rand_augment = (
            RandAugment(augment.rand_augment, fill, preprocessing.interpolation) if augment.rand_augment else None
        )

    def __call__(self, image: Tensor, rng: random.Random, epoch: int = 0) -> Tensor:
        """uint8 [3, H, W] -> uint8 [3, S, S], in channels-last memory."""
        size = self.sizes[epoch] if self.sizes else self.size
        top, left, height, width = draw_crop(
            image.shape[1], image.shape[2], self.augment.crop_scale, self.augment.crop_ratio, rng
        )
        crop = image[:, top : top + height, left : left + width]
        if rng.random() < self.augment.hflip:
            crop = crop.flip(-1)
        # torchvision's resize is fastest on, and keeps, channels-last memory without gaps.
        crop = crop.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        resized = resize(crop, [size, size], self.interpolation, antialias=True)
        if not self.augment.color_jitter and self.rand_augment is None:
            return resized
        pixels: Pixels = resized.permute(1, 2, 0).contiguous().numpy()
        if self.augment.color_jitter:
            pixels = jitter_color(pixels, self.augment.color_jitter, rng)
        if self.rand_augment is not None:
            pixels = self.rand_augment(pixels, rng)
        return torch.from_numpy(pixels).permute(2, 0, 1)


def build_train_transform(
    augment: AugmentConfig, preprocessing: Preprocessing, sizes: Sequence[int] = ()
) -> TrainTransform:
    """What happens to a training image before it joins a batch; an unknown RandAugment setting is a UserError."""
    return TrainTransform(augment, preprocessing, sizes)


def draw_crop(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], rng: random.Random
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a crop: share of the area uniform in `scale`, aspect log-uniform in `ratio`.

    After ten draws that do not fit, the largest centred crop within `ratio`; as in Inception, torchvision and timm.
    """
    for _ in range(10):
        area = rng.uniform(*scale) * height * width
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            return rng.randint(0, height - crop_height), rng.randint(0, width - crop_width), crop_height, crop_width
    aspect = min(max(width / height, ratio[0]), ratio[1])
    crop_width, crop_height = min(width, round(height * aspect)), min(height, round(width / aspect))
    return (height - crop_height) // 2, (width - crop_width) // 2, max(1, crop_height), max(1, crop_width)


def jitter_color(pixels: Pixels, strength: float, rng: random.Random) -> Pixels:
    """Brightness, contrast and saturation, in random order, each by a factor within `strength` of 1."""
    changes = [change_brightness, change_contrast, change_color]
    for change in rng.sample(changes, k=len(changes)):
        pixels = change(pixels, rng.uniform(max(0.0, 1 - strength), 1 + strength))
    return pixels


def open_stream(*key: int) -> random.Random:
    """A generator that follows from `key` alone.

    What is random about a sample then depends on (seed, epoch, index): not on the worker that reads it, not on what
    was read before, and so not on a run having been interrupted. No global generator is read or moved.
    """
    return random.Random(" ".join(map(str, key)))


def seed_all(*key: int) -> None:
    """Seed Python's, numpy's and torch's generators from a tuple of non-negative integers."""
    first, second, third = (int(word) for word in np.random.SeedSequence(key).generate_state(3))
    random.seed(first)
    np.random.seed(second)
    torch.manual_seed(third)
