"""What is known of a picture whose objects or pixels are labelled, whatever format says so? Nothing is decoded yet."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidnet.data.annotation_report import AnnotationReport
from rapidnet.data.folder import build_exclusion
from rapidnet.data.object_masks import Shape
from rapidnet.errors import UserError, nearest

IGNORE = 255
"""The class of a pixel that neither trains nor counts."""


@dataclass(frozen=True)
class Objects:
    """The objects of one picture, in the order of their file; there may be none.

    boxes: float64 [N, 4] as (left, top, right, bottom) in pixels, right and bottom exclusive, inside the picture.
    labels: int64 [N], indices of the class list. iscrowd: bool [N], several objects under one box: a region that
    evaluation passes over and training does not see. area: float64 [N] in pixels, as annotated. shapes: N outlines,
    None where only boxes are known.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    iscrowd: NDArray[np.bool_]
    area: NDArray[np.float64]
    shapes: tuple[Shape | None, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Record:
    """One picture: its file, number in its data set, size in pixels, and objects or the file of its class mask."""

    path: str
    image_id: int
    height: int
    width: int
    objects: Objects | None = None
    mask: str = ""


@dataclass(frozen=True)
class DenseSplit:
    """Pictures of one purpose, and what was found wrong with their annotations.

    category_ids are the file's own numbers of the classes, for results that other tools read. zero_is_ignored: a
    mask's 0 is no class and k + 1 is class k (ADE20K); else k is class k. 255 is ignored in both.
    """

    name: str
    classes: list[str]
    records: list[Record]
    report: AnnotationReport
    category_ids: list[int] = field(default_factory=list)
    zero_is_ignored: bool = False

    def count(self) -> "DenseSplit":
        """Itself, with what it holds counted in its report."""
        objects = [record.objects for record in self.records if record.objects is not None]
        self.report.counts["images"] = len(self.records)
        if objects:
            self.report.counts["images without objects"] = sum(not len(found) for found in objects)
            self.report.counts["objects"] = sum(len(found) for found in objects)
            self.report.counts["crowds"] = sum(int(found.iscrowd.sum()) for found in objects)
        return self


def align_dense(split: DenseSplit, classes: list[str]) -> DenseSplit:
    """Number the classes of `split` by another list; one that `split` lacks gets a number its file does not use.

    Raises:
        UserError: a class that the list lacks.
    """
    for name in split.classes:
        if name not in classes:
            hint = nearest(name, classes)
            raise UserError(f"the {split.name} images have a class '{name}' that training lacks{hint}; rename it")
    if split.classes == classes:
        return split
    table = np.array([classes.index(name) for name in split.classes], dtype=np.int64)
    records = [
        record
        if record.objects is None
        else replace(record, objects=replace(record.objects, labels=table[record.objects.labels]))
        for record in split.records
    ]
    numbers = dict(zip(split.classes, split.category_ids, strict=True))
    free = max(split.category_ids) + 1
    category_ids = [numbers.get(name, free + label) for label, name in enumerate(classes)]
    return replace(split, classes=classes, records=records, category_ids=category_ids)


def hold_out_records(split: DenseSplit, val_fraction: float, seed: int) -> tuple[DenseSplit, DenseSplit]:
    """Split off a seeded share of the pictures, at least one; one stays to train on.

    Raises:
        UserError: a single picture.
    """
    count = len(split.records)
    if count < 2:
        raise UserError(f"there is {count} usable image, and two are needed to hold one out for validation; add some")
    held = min(max(1, round(val_fraction * count)), count - 1)
    chosen = set(np.random.default_rng([seed, count]).permutation(count)[:held].tolist())
    train = [record for index, record in enumerate(split.records) if index not in chosen]
    val = [record for index, record in enumerate(split.records) if index in chosen]
    # Both come from one reading, which is reported once.
    return replace(split, records=train), replace(split, name="val", records=val, report=AnnotationReport(""))


def exclude_records(split: DenseSplit, exclude: str) -> DenseSplit:
    """Leave out pictures by a pattern of file names, or those listed in a text file."""
    excluded = build_exclusion(exclude)
    return replace(split, records=[record for record in split.records if not excluded(Path(record.path))])
