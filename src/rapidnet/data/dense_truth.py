"""What is to be found in a picture, in numpy's arrays? Needs no torch, so that exported networks can be measured
without it."""

from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from rapidnet.config import DenseTask
from rapidnet.data.dense_files import describe_mismatch
from rapidnet.data.dense_records import DenseSplit, Objects, Record
from rapidnet.data.index_masks import decode_mask
from rapidnet.data.object_masks import OutlineError, draw_shapes
from rapidnet.errors import UserError
from rapidnet.images import load_image

Pixels = NDArray[np.uint8]


class Truth(TypedDict, total=False):
    """`dense_samples.Targets` before they are tensors.

    image_id: the picture's number. size: its (height, width). boxes: float32 [N, 4] as (left, top, right, bottom) in
    pixels. labels: int64 [N], from 0. iscrowd: bool [N]. area: float32 [N] in pixels, as annotated. masks: bool
    [N, H, W]. semantic: uint8 [H, W], 255 where no class is known.
    """

    image_id: int
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    iscrowd: NDArray[np.bool_]
    area: NDArray[np.float32]
    masks: NDArray[np.bool_]
    semantic: NDArray[np.uint8]


class BadRecordError(UserError):
    """A picture and its annotations that do not go together."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"image {path}: {why}; mend or remove it, or pass --bad-samples skip or quarantine")


class TruthSource(Protocol):
    """Pictures with what is to be found in them, by index, with named classes."""

    classes: list[str]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What a person calls the picture: its path, if it has one."""

    def read(self, index: int) -> tuple[Pixels, Truth]:
        """RGB uint8 [H, W, 3] and its truth; raises BadImageError, BadMaskError or BadRecordError."""


class TruthRecords:
    """The pictures of a split, with what `task` needs: boxes; boxes and masks; or the class of each pixel."""

    def __init__(self, split: DenseSplit, task: DenseTask) -> None:
        self.classes, self.split, self.task = split.classes, split, task

    def __len__(self) -> int:
        return len(self.split.records)

    def name(self, index: int) -> str:
        return self.split.records[index].path

    def read(self, index: int) -> tuple[Pixels, Truth]:
        record = self.split.records[index]
        pixels = np.array(load_image(record.path))
        check_size(record, pixels.shape[0], pixels.shape[1])
        return pixels, read_truth(self.split, record, self.task)


def check_size(record: Record, height: int, width: int) -> None:
    """Raises BadRecordError unless the file has the size that its annotations are for."""
    if (height, width) != (record.height, record.width):
        raise BadRecordError(record.path, describe_mismatch(record, (height, width)))


def read_truth(split: DenseSplit, record: Record, task: DenseTask) -> Truth:
    """What is to be found in the picture of a record, which is not decoded.

    Raises:
        BadMaskError, BadRecordError: a mask that cannot be used, outlines of more than fits the bounds.
    """
    size = record.height, record.width
    if task == "semantic":
        mask = decode_mask(record.mask, *size, len(split.classes), split.zero_is_ignored)
        return Truth(image_id=record.image_id, size=size, semantic=mask)
    objects = record.objects
    assert objects is not None
    truth = Truth(
        image_id=record.image_id,
        size=size,
        boxes=objects.boxes.astype(np.float32),
        labels=objects.labels,
        iscrowd=objects.iscrowd,
        area=objects.area.astype(np.float32),
    )
    if task == "instance":
        truth["masks"] = draw_masks(record, objects)
    return truth


def draw_masks(record: Record, objects: Objects) -> NDArray[np.bool_]:
    """bool [N, H, W]; raises BadRecordError for more than fits the bounds."""
    shapes = [shape for shape in objects.shapes if shape is not None]
    assert len(shapes) == len(objects), "records of this task are read with their outlines"
    try:
        return draw_shapes(shapes, record.height, record.width)
    except OutlineError as error:
        raise BadRecordError(record.path, str(error)) from None
