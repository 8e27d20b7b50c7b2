"""What happens to a picture and its targets before a network sees them, in training and in evaluation?

The ranges are those of the recipes the networks are compared by: Mask R-CNN on COCO, Semantic FPN on ADE20K.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rapidnet.data.dense_geometry import crop_sample, flip_sample, pad_sample, resize_sample
from rapidnet.data.dense_records import IGNORE
from rapidnet.data.dense_samples import DenseSample, Targets, select_objects
from rapidnet.data.index_masks import count_numbers
from rapidnet.data.photometric import distort_colors
from rapidnet.images import fit_size, scale_size

CROP_TRIES = 10


@dataclass(frozen=True)
class DetectionAugment:
    """How training pictures with objects vary."""

    short_sides: tuple[int, ...] = (800,)
    """The short side in pixels; one is drawn."""
    long_side: int = 1333
    """The long side is no longer."""
    scale: tuple[float, float] = (1.0, 1.0)
    """The size is multiplied by a factor drawn from here (0.1 to 2 is large-scale jitter)."""
    crop: tuple[int, int] = (0, 0)
    """Height and width of a window at a random place, where the picture is larger; 0 keeps all of it."""
    hflip: float = 0.5
    """How often left and right are exchanged."""


@dataclass(frozen=True)
class SegmentationAugment:
    """How training pictures with pixel classes vary."""

    short_side: int = 512
    long_side: int = 2048
    scale: tuple[float, float] = (0.5, 2.0)
    """The size within short and long side is multiplied by a factor drawn from here."""
    crop: tuple[int, int] = (512, 512)
    """Height and width of what the network sees; smaller pictures are padded."""
    cat_max_ratio: float = 0.75
    """A window is drawn again, ten times at most, where one class covers a larger share of it."""
    hflip: float = 0.5
    photometric: bool = True
    """Vary brightness, contrast, saturation and hue."""


class DetectionTrain:
    """Size, window and flip of a picture; crowds are left out, since nothing can be learnt from them."""

    def __init__(self, augment: DetectionAugment) -> None:
        self.augment = augment

    def __call__(self, image: Tensor, targets: Targets, rng: random.Random) -> DenseSample:
        augment = self.augment
        if bool(targets["iscrowd"].any()):
            targets = select_objects(targets, ~targets["iscrowd"])
        height, width = fit_size(image.shape[1], image.shape[2], rng.choice(augment.short_sides), augment.long_side)
        image, targets = resize_sample(image, targets, *scale_size(height, width, rng.uniform(*augment.scale)))
        if augment.crop != (0, 0):
            image, targets = crop_sample(image, targets, *draw_window(image, augment.crop, rng))
        if rng.random() < augment.hflip:
            image, targets = flip_sample(image, targets)
        return image, targets


class SegmentationTrain:
    """Size, window, flip and colours of a picture, padded to the window's size.

    Args:
        fill: the colour of the padding, 0 to 255.
    """

    def __init__(self, augment: SegmentationAugment, fill: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.augment, self.fill = augment, fill

    def __call__(self, image: Tensor, targets: Targets, rng: random.Random) -> DenseSample:
        augment = self.augment
        height, width = fit_size(image.shape[1], image.shape[2], augment.short_side, augment.long_side)
        image, targets = resize_sample(image, targets, *scale_size(height, width, rng.uniform(*augment.scale)))
        for _ in range(CROP_TRIES):
            top, left, height, width = draw_window(image, augment.crop, rng)
            window = targets["semantic"][top : top + height, left : left + width]
            if find_largest_share(window) <= augment.cat_max_ratio:
                break
        image, targets = crop_sample(image, targets, top, left, height, width)
        if rng.random() < augment.hflip:
            image, targets = flip_sample(image, targets)
        if augment.photometric:
            image = distort_colors(image, rng)
        return pad_sample(image, targets, *augment.crop, self.fill)


class DenseEvaluation:
    """A picture within short and long side, by Pillow's resize as everywhere in evaluation; nothing is random.

    Targets keep the size of the file, in which answers are judged.

    Args:
        multiple: sides are rounded up to multiples of it, so that nothing has to be padded; 1 leaves them.
    """

    def __init__(self, short_side: int, long_side: int, multiple: int = 1) -> None:
        self.short_side, self.long_side, self.multiple = short_side, long_side, multiple

    def __call__(self, image: Tensor, targets: Targets, rng: random.Random | None = None) -> DenseSample:
        fitted = fit_size(image.shape[1], image.shape[2], self.short_side, self.long_side)
        height, width = (-(-side // self.multiple) * self.multiple for side in fitted)
        if (height, width) == image.shape[1:]:
            return image, targets
        pixels = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        resized = pixels.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1), targets


def draw_window(image: Tensor, crop: tuple[int, int], rng: random.Random) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a window at a random place, no larger than the picture."""
    height, width = min(crop[0], image.shape[1]), min(crop[1], image.shape[2])
    return rng.randint(0, image.shape[1] - height), rng.randint(0, image.shape[2] - width), height, width


def find_largest_share(mask: Tensor) -> float:
    """The share of the most frequent class among the pixels that have one; 1 where none has."""
    counts = count_numbers(mask.contiguous().numpy())[:IGNORE]
    return float(counts.max() / counts.sum()) if counts.sum() else 1.0
