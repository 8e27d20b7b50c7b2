"""How does a record become tensors: pixels, boxes, masks? Each file is decoded within bounds, when it is asked for."""

from typing import Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

from rapidnet.config import DenseTask
from rapidnet.data.decode import load_pixels
from rapidnet.data.dense_files import describe_mismatch
from rapidnet.data.dense_records import DenseSplit, Objects, Record
from rapidnet.data.index_masks import decode_mask
from rapidnet.data.object_masks import OutlineError, draw_shapes
from rapidnet.errors import UserError


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


class BadRecordError(UserError):
    """A picture and its annotations that do not go together."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"image {path}: {why}; mend or remove it, or pass --bad-samples skip or quarantine")


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
        height, width = image.shape[1:]
        if (height, width) != (record.height, record.width):
            raise BadRecordError(record.path, describe_mismatch(record, (height, width)))
        return image, self.targets(index)

    def targets(self, index: int) -> Targets:
        record = self.split.records[index]
        size = record.height, record.width
        if self.task == "semantic":
            mask = decode_mask(record.mask, *size, len(self.classes), self.split.zero_is_ignored)
            return Targets(image_id=record.image_id, size=size, semantic=torch.from_numpy(mask))
        assert record.objects is not None
        targets = build_targets(record.objects, record.image_id, size)
        if self.task == "instance":
            targets["masks"] = draw_masks(record, record.objects)
        return targets


def build_targets(objects: Objects, image_id: int, size: tuple[int, int]) -> Targets:
    """Boxes, labels, crowds and areas as tensors."""
    return Targets(
        image_id=image_id,
        size=size,
        boxes=torch.from_numpy(objects.boxes.astype(np.float32)),
        labels=torch.from_numpy(objects.labels),
        iscrowd=torch.from_numpy(objects.iscrowd),
        area=torch.from_numpy(objects.area.astype(np.float32)),
    )


def draw_masks(record: Record, objects: Objects) -> Tensor:
    """bool [N, H, W]; raises BadRecordError for more than fits the bounds."""
    shapes = [shape for shape in objects.shapes if shape is not None]
    assert len(shapes) == len(objects), "records of this task are read with their outlines"
    try:
        return torch.from_numpy(draw_shapes(shapes, record.height, record.width))
    except OutlineError as error:
        raise BadRecordError(record.path, str(error)) from None


def select_objects(targets: Targets, keep: Tensor) -> Targets:
    """The targets with some of their objects: those for which `keep`, bool [N], holds."""
    chosen = targets.copy()
    for key in ("boxes", "labels", "iscrowd", "area", "masks"):
        if key in targets:
            chosen[key] = targets[key][keep]
    return chosen
