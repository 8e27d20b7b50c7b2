"""How does a record become tensors: pixels, boxes, masks? Each file is decoded within bounds, when it is asked for."""

from typing import Any, Protocol, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from rapidnet.config import DenseTask
from rapidnet.data.decode import load_pixels
from rapidnet.data.dense_records import DenseSplit
from rapidnet.data.dense_truth import Truth, check_size, read_truth


class Targets(TypedDict, total=False):
    """What is to be found in a picture; torchvision's detection networks take it as it is, but for their labels, in
    which 0 is the background.

    image_id: the picture's number. size: its (height, width) in the file, before any transform. boxes: float32 [N, 4]
    as (left, top, right, bottom) in pixels. labels: int64 [N], from 0. iscrowd: bool [N]. area: float32 [N] in pixels
    of the file, as annotated, which no transform changes. masks: bool [N, H, W]. semantic: uint8 [H, W], 255 where no
    class is known.
    """

    image_id: int
    size: tuple[int, int]
    boxes: Tensor
    labels: Tensor
    iscrowd: Tensor
    area: Tensor
    masks: Tensor
    semantic: Tensor


DenseSample = tuple[Tensor, Targets]
"""A picture, uint8 [3, H, W], and what is to be found in it."""


class DenseSource(Protocol):
    """Pictures by (index, epoch), with named classes."""

    classes: list[str]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What a person calls the picture: its path, if it has one."""

    def load(self, index: int, epoch: int = 0) -> DenseSample:
        """Raises BadImageError, BadMaskError or BadRecordError."""

    def targets(self, index: int) -> Targets:
        """What is to be found in the untouched picture, which is not decoded; raises as `load`."""


class RecordSource:
    """The pictures of a split, with what `task` needs: boxes; boxes and masks; or the class of each pixel."""

    def __init__(self, split: DenseSplit, task: DenseTask) -> None:
        self.classes, self.split, self.task = split.classes, split, task

    def __len__(self) -> int:
        return len(self.split.records)

    def name(self, index: int) -> str:
        return self.split.records[index].path

    def load(self, index: int, epoch: int = 0) -> DenseSample:
        record = self.split.records[index]
        image = load_pixels(record.path)
        check_size(record, image.shape[1], image.shape[2])
        return image, self.targets(index)

    def targets(self, index: int) -> Targets:
        return build_targets(read_truth(self.split, self.split.records[index], self.task))


def build_targets(truth: Truth) -> Targets:
    """The same as tensors."""
    values: dict[str, Any] = dict(truth)
    tensors = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in values.items()
    }
    return cast(Targets, tensors)


def select_objects(targets: Targets, keep: Tensor) -> Targets:
    """The targets with some of their objects: those for which `keep`, bool [N], holds."""
    chosen = targets.copy()
    for key in ("boxes", "labels", "iscrowd", "area", "masks"):
        if key in targets:
            chosen[key] = targets[key][keep]
    return chosen
