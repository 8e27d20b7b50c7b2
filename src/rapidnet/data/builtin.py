"""What data needs no download? Real handwritten digits on crops of real photographs, made as they are asked for.

Digits: the 1,797 of scikit-learn (UCI Optical Recognition of Handwritten Digits), split by sample. Photographs: those
inside the scikit-image and scikit-learn packages; training and validation share none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = [str(digit) for digit in range(10)]

PHOTOGRAPHS = {
    "train": ("astronaut.png", "brick.png", "camera.png", "cell.png", "coins.png", "grass.png", "ihc.png", "retina.jpg",
              "hubble_deep_field.jpg", "motorcycle_left.png", "motorcycle_right.png", "china.jpg"),
    "val": ("chelsea.png", "coffee.png", "gravel.png", "moon.png", "rocket.jpg", "flower.jpg"),
}  # fmt: skip
VAL_SHARE = 0.2
PHOTO_SIDE = 256
"""Photographs are shrunk to this short side, so that a crop shows more than texture."""
GLYPH_SIDE = 64
GLYPH_INK = 0.8
"""Share of a glyph's side that the 8x8 scan fills; the rest is empty margin."""

# Ranges a scene is drawn from, uniformly.
SCALE = (0.45, 0.9)
"""Height of the digit as a share of the scene's side."""
ROTATION = (-20.0, 20.0)
STRETCH = (0.85, 1.18)
PHOTO_CROP = (0.25, 1.0)
PHOTO_CONTRAST = (0.35, 0.9)
MIN_CONTRAST = 0.3
"""Least difference in luminance (0 to 1) between the digit and what is behind it."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A composed picture and what is exactly known about it.

    image: uint8 [S, S, 3]; labels: int64 [N]; masks: bool [N, S, S]; boxes: float32 [N, 4] as (left, top, right,
    bottom) in pixels, right and bottom exclusive, tight around the masks.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    boxes: Array


class BuiltinScenes:
    """Scenes by (epoch, index), or by index for epoch 0; the same key and seed always give the same pixels.

    Args:
        split: 'train' draws fresh scenes every epoch; 'val' is the same in every epoch and for every seed.
        length: scenes in an epoch.
        image_size: height and width of a scene in pixels.
    """

    def __init__(self, split: Literal["train", "val"], length: int, image_size: int, seed: int = 0) -> None:
        self.split, self.length, self.image_size = split, length, image_size
        self.seed = seed if split == "train" else 0
        self.classes = CLASSES

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, ...]) -> "tuple[Tensor, int]":
        """(image uint8 [3, S, S], label)."""
        epoch, index = (0, key) if isinstance(key, int) else key
        # Drawing scenes, and so judging an exported network on them, needs no torch.
        import torch

        pixels, label = self.draw(index, epoch)
        return torch.from_numpy(pixels), label

    def draw(self, index: int, epoch: int = 0) -> tuple[NDArray[np.uint8], int]:
        """(image uint8 [3, S, S], label)."""
        scene = self.scene(index, epoch)
        return scene.image.transpose(2, 0, 1).copy(), int(scene.labels[0])

    def __iter__(self) -> "Iterator[tuple[Tensor, int]]":
        return (self[index] for index in range(self.length))

    def scene(self, index: int, epoch: int = 0) -> Scene:
        """One digit over a crop of one photograph, labels balanced over every ten indices.

        Raises:
            IndexError: no such scene.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} of {self.length}")
        key = [self.seed, 0 if self.split == "train" else 1, epoch if self.split == "train" else 0, index]
        rng = np.random.default_rng(key)
        label = index % len(CLASSES)
        samples = load_digits_of(self.split)[label]
        glyph = samples[rng.integers(len(samples))]
        background = draw_scenery(self.split, self.image_size, rng)
        alpha = draw_glyph(glyph, self.image_size, rng)
        image = compose(background, alpha, rng)
        mask = alpha > 0.5
        return Scene(image, np.array([label]), mask[None], tight_box(mask)[None])


def draw_scenery(split: str, size: int, rng: np.random.Generator) -> Array:
    """What lies behind the digits: a crop of a photograph of the split, in training often of two; [S, S, 3]."""
    photos = load_photographs(split)
    background = draw_background(photos[rng.integers(len(photos))], size, rng)
    if split == "train":
        if rng.random() < 0.5:
            other = draw_background(photos[rng.integers(len(photos))], size, rng)
            share = np.float32(rng.uniform(0.2, 0.8))
            background = share * background + (1 - share) * other
        background = recolor(background, rng)
    return background


def draw_background(photo: Image.Image, size: int, rng: np.random.Generator) -> Array:
    """A random square crop of a photograph, flipped at random, with its contrast lowered; [S, S, 3] in [0, 1]."""
    side = rng.uniform(*PHOTO_CROP) * min(photo.size)
    left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
    crop = photo.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    pixels = np.asarray(crop, dtype=np.float32) / 255
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    mean = pixels.mean(dtype=np.float32)
    return (mean + (pixels - mean) * np.float32(rng.uniform(*PHOTO_CONTRAST))).astype(np.float32, copy=False)


def recolor(background: Array, rng: np.random.Generator) -> Array:
    """Vary a training background: a dozen photographs do not show every colour and brightness that exists.

    Shuffles the channels, inverts half of the time, and gives each channel a gain and an offset. Validation's
    photographs stay as they are. [S, S, 3] in, about the same range out.
    """
    background = background[..., rng.permutation(3)]
    if rng.random() < 0.5:
        background = 1 - background
    gain = rng.uniform(0.4, 1.2, 3).astype(np.float32)
    offset = rng.uniform(-0.1, 0.1) + rng.uniform(0, 1, 3) * (1 - gain)
    return (background * gain + offset.astype(np.float32)).astype(np.float32, copy=False)


def draw_glyph(glyph: Image.Image, size: int, rng: np.random.Generator, scale: tuple[float, float] = SCALE) -> Array:
    """The digit's opacity [S, S] in [0, 1] at a random place, height, stretch and rotation, wholly inside the scene."""
    angle, height = np.deg2rad(rng.uniform(*ROTATION)), rng.uniform(*scale) * size
    scale_y = GLYPH_INK * GLYPH_SIDE / height
    scale_x = scale_y / rng.uniform(*STRETCH)
    cos, sin = np.cos(angle), np.sin(angle)
    # Half the side of the square that holds the turned digit.
    reach = min(0.5 * height * (abs(cos) + abs(sin)), size / 2)
    x, y = rng.uniform(reach, size - reach, 2)
    half = GLYPH_SIDE / 2
    matrix = (
        cos * scale_x, sin * scale_x, half - (cos * x + sin * y) * scale_x,
        -sin * scale_y, cos * scale_y, half - (-sin * x + cos * y) * scale_y,
    )  # fmt: skip
    placed = glyph.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(placed, dtype=np.float32) / np.float32(255)


def compose(background: Array, alpha: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What `lay_over` gives, as pixels."""
    return to_pixels(lay_over(background, alpha, rng))


def lay_over(background: Array, alpha: Array, rng: np.random.Generator) -> Array:
    """Lay a digit of a random colour, told from what is behind it by its luminance, over the background; [S, S, 3]."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    behind = float((background @ weights * alpha).sum() / max(float(alpha.sum()), 1e-6))
    color = rng.random(3, dtype=np.float32)
    luminance = float(color @ weights)
    if abs(luminance - behind) < MIN_CONTRAST:
        # Mix the colour with black or white, whichever is farther from the background, up to a random clear contrast.
        target = behind + (1 if behind < 0.5 else -1) * rng.uniform(MIN_CONTRAST, 0.5)
        if target > luminance:
            color = 1 - (1 - color) * np.float32((1 - target) / max(1 - luminance, 1e-6))
        else:
            color = color * np.float32(target / max(luminance, 1e-6))
    return background + (color - background) * alpha[..., None]


def to_pixels(image: Array) -> NDArray[np.uint8]:
    """[0, 1] to whole numbers of 0 to 255; what lies outside is cut."""
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def tight_box(mask: NDArray[np.bool_]) -> Array:
    """(left, top, right, bottom) around the true pixels of [H, W], right and bottom exclusive."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


@cache
def load_digits_of(split: str) -> list[list[Image.Image]]:
    """Per class, the digits of a split as opacity images of GLYPH_SIDE pixels; every fifth sample is validation's."""
    from sklearn.datasets import load_digits

    data = load_digits()
    digits: list[list[Image.Image]] = [[] for _ in CLASSES]
    seen = [0] * len(CLASSES)
    for pixels, label in zip(data.images, data.target, strict=True):
        is_val = seen[label] % round(1 / VAL_SHARE) == 0
        seen[label] += 1
        if is_val == (split == "val"):
            digits[label].append(_enlarge(pixels / 16))
    return digits


def _enlarge(pixels: NDArray[np.float64]) -> Image.Image:
    # The scans are 8x8 with soft edges. Enlarging them smoothly and steepening the edge gives a pen stroke back.
    small = Image.fromarray((np.pad(pixels, 1) * 255).astype(np.uint8))
    smooth = np.asarray(small.resize((GLYPH_SIDE, GLYPH_SIDE), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return Image.fromarray((255 / (1 + np.exp(-16 * (smooth - 0.45)))).astype(np.uint8))


@cache
def load_photographs(split: str) -> list[Image.Image]:
    """The photographs of a split, RGB, short side PHOTO_SIDE."""
    import skimage
    import sklearn.datasets

    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images")
    photos = []
    for name in PHOTOGRAPHS[split]:
        path = next(folder / name for folder in folders if (folder / name).is_file())
        with Image.open(path) as image:
            scale = PHOTO_SIDE / min(image.size)
            size = (round(image.width * scale), round(image.height * scale))
            photos.append(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    return photos
