"""What data for detection and segmentation needs no download? Several handwritten digits on a photograph.

The digits and photographs are those of `builtin`: training and validation share neither.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rapidnet.config import DenseTask
from rapidnet.data.builtin import (
    CLASSES,
    Array,
    Scene,
    draw_glyph,
    draw_scenery,
    lay_over,
    load_digits_of,
    tight_box,
    to_pixels,
)
from rapidnet.data.dense_truth import Pixels, Truth

if TYPE_CHECKING:
    from rapidnet.data.dense_samples import DenseSample, Targets

SEMANTIC_CLASSES = ["background", *CLASSES]

# What a scene is drawn from.
COUNTS = (0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5)
"""How many digits; a picture in twelve has none."""
SCALE = (0.15, 0.45)
"""Height of a digit as a share of the scene's side."""
MAX_HIDDEN = 0.25
"""The share of a digit that others may hide, at most."""
TRIES = 20


class BuiltinObjects:
    """Scenes with several digits by (index, epoch); the same key and seed always give the same pixels.

    Args:
        split: 'train' draws fresh scenes every epoch; 'val' is the same in every epoch and for every seed.
        length: scenes in an epoch.
        image_size: height and width of a scene in pixels.
        task: boxes; boxes and masks; or the class of each pixel, of which 0 is the background.
    """

    def __init__(
        self, split: Literal["train", "val"], length: int, image_size: int, task: DenseTask, seed: int = 0
    ) -> None:
        self.split, self.length, self.image_size, self.task = split, length, image_size, task
        self.seed = seed if split == "train" else 0
        self.classes = SEMANTIC_CLASSES if task == "semantic" else CLASSES

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"built-in scene {index}"

    def load(self, index: int, epoch: int = 0) -> "DenseSample":
        import torch

        from rapidnet.data.dense_samples import build_targets

        scene = self.scene(index, epoch)
        return torch.from_numpy(scene.image).permute(2, 0, 1), build_targets(self._describe(scene, index))

    def targets(self, index: int) -> "Targets":
        """Those of epoch 0; in validation, of every epoch."""
        from rapidnet.data.dense_samples import build_targets

        return build_targets(self.read(index)[1])

    def read(self, index: int) -> tuple[Pixels, Truth]:
        """RGB uint8 [S, S, 3] and what is to be found in it, of epoch 0; needs no torch."""
        scene = self.scene(index)
        return scene.image, self._describe(scene, index)

    def scene(self, index: int, epoch: int = 0) -> Scene:
        """Up to five digits over a crop of one photograph; a later one may hide a part of an earlier one.

        Raises:
            IndexError: no such scene.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} of {self.length}")
        # The last number tells these scenes from those with one digit.
        key = [self.seed, 0 if self.split == "train" else 1, epoch if self.split == "train" else 0, index, 2]
        rng = np.random.default_rng(key)
        image = draw_scenery(self.split, self.image_size, rng)
        digits = load_digits_of(self.split)
        labels: list[int] = []
        whole: list[NDArray[np.bool_]] = []
        masks: list[NDArray[np.bool_]] = []
        for _ in range(COUNTS[rng.integers(len(COUNTS))]):
            label = int(rng.integers(len(CLASSES)))
            glyph = digits[label][rng.integers(len(digits[label]))]
            alpha = self._place(glyph, whole, masks, rng)
            if alpha is not None:
                image = lay_over(image, alpha, rng)
                mask = alpha > 0.5
                masks = [*(other & ~mask for other in masks), mask]
                whole.append(mask)
                labels.append(label)
        boxes = np.array([tight_box(mask) for mask in masks], dtype=np.float32).reshape(-1, 4)
        stacked = np.array(masks, dtype=np.bool_).reshape(-1, self.image_size, self.image_size)
        return Scene(to_pixels(image), np.array(labels, dtype=np.int64), stacked, boxes)

    def _place(
        self, glyph: Image.Image, whole: list[NDArray[np.bool_]], masks: list[NDArray[np.bool_]],
        rng: np.random.Generator,
    ) -> Array | None:  # fmt: skip
        """A digit's opacity where it hides too much of none before it; None if no such place was found."""
        for _ in range(TRIES):
            alpha = draw_glyph(glyph, self.image_size, rng, SCALE)
            shown = alpha <= 0.5
            if all(
                (mask & shown).sum() >= (1 - MAX_HIDDEN) * own.sum() for own, mask in zip(whole, masks, strict=True)
            ):
                return alpha
        return None

    def _describe(self, scene: Scene, index: int) -> Truth:
        size = (self.image_size, self.image_size)
        if self.task == "semantic":
            semantic = np.zeros(size, dtype=np.uint8)
            for label, mask in zip(scene.labels, scene.masks, strict=True):
                semantic[mask] = label + 1
            return Truth(image_id=index, size=size, semantic=semantic)
        truth = Truth(
            image_id=index,
            size=size,
            boxes=scene.boxes,
            labels=scene.labels,
            iscrowd=np.zeros(len(scene.labels), dtype=np.bool_),
            area=scene.masks.sum((1, 2)).astype(np.float32),
        )
        if self.task == "instance":
            truth["masks"] = scene.masks
        return truth
