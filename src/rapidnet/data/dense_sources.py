"""What is behind a folder of labelled objects or pixels: COCO, YOLO, or pictures with class masks?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rapidnet.config import BadSamples, DenseTask
from rapidnet.data.annotation_report import settle
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.coco import read_coco
from rapidnet.data.dense_layouts import (
    LAYOUTS,
    find_class_list,
    find_coco_files,
    find_split,
    find_yolo_folders,
    find_yolo_list,
    list_coco_folders,
    read_class_list,
)
from rapidnet.data.dense_records import DenseSplit, align_dense, exclude_records, hold_out_records
from rapidnet.data.index_masks import find_encoding, read_index_masks
from rapidnet.data.yolo import read_yolo
from rapidnet.errors import UserError

Reader = Callable[[str], DenseSplit | None]
"""'train' or 'val' -> what is there for it; None where the data has no validation of its own."""


@dataclass(frozen=True)
class DenseData:
    """Pictures to train on and to validate on, numbered by the same classes, and the log of those left out."""

    train: DenseSplit
    val: DenseSplit
    bad_samples: BadSampleLog


def open_dense(
    root: str | Path, task: DenseTask, policy: BadSamples = "error", folder: Path | None = None,
    val_fraction: float = 0.1, seed: int = 0, holdout: bool = False, exclude: str = "", check_files: bool = True,
) -> DenseData:  # fmt: skip
    """Read a folder, check its annotations and carry out the policy for what is wrong with them.

    Args:
        root: see LAYOUTS; docs/detection_data.md has an example of each.
        policy, folder: as in `annotation_report.settle`.
        val_fraction, seed, holdout, exclude: as in `folder.open_splits`; pictures are not stratified.
        check_files: look at every file now (headers of pictures, pixels of masks).
    Raises:
        UserError: no such data, data that does not fit the task, flaws under 'error', no usable picture.
    """
    root = Path(root)
    read = find_dense_reader(root, task, check_files)
    train, val = read("train"), None if holdout else read("val")
    if train is None:
        raise UserError(f"{root} has no images to train on; give one that holds {LAYOUTS}")
    log = settle([split.report for split in (train, val) if split is not None], policy, folder)
    if exclude:
        before = len(train.records) + (len(val.records) if val else 0)
        train, val = exclude_records(train, exclude), exclude_records(val, exclude) if val else None
        if before == len(train.records) + (len(val.records) if val else 0):
            raise UserError(f"--exclude {exclude} leaves out no image of {root}; mend the pattern or leave it out")
    if val is None:
        train, val = hold_out_records(train, val_fraction, seed)
    val = align_dense(val, train.classes)
    for split in (train, val):
        if not split.records:
            raise UserError(f"{root} has no usable {split.name} image; see what is wrong with --bad-samples error")
    return DenseData(train, val, log)


def open_dense_evaluation(
    root: str | Path, task: DenseTask, classes: list[str], policy: BadSamples = "error", folder: Path | None = None,
    check_files: bool = True,
) -> tuple[DenseSplit, BadSampleLog]:  # fmt: skip
    """The pictures to evaluate on, those for validation where there are any, else all; labels follow `classes`.

    Raises:
        UserError: as `open_dense`, or a class that is not among `classes`.
    """
    read = find_dense_reader(Path(root), task, check_files)
    split = read("val") or read("train")
    if split is None:
        raise UserError(f"{root} has no images; give a folder that holds {LAYOUTS}")
    log = settle([split.report], policy, folder)
    if not split.records:
        raise UserError(f"{root} has no usable image; see what is wrong with --bad-samples error")
    if task == "semantic" and split.classes != classes:
        # Masks hold numbers; the names must say the same of them.
        raise UserError(
            f"{root} lists the classes {_shorten(split.classes)}, training {_shorten(classes)}; make the lists alike"
        )
    return align_dense(split, classes), log


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def find_dense_reader(root: Path, task: DenseTask, check_files: bool) -> Reader:
    """What reads `root` for a task.

    Raises:
        UserError: no folder, nothing that is known, or what does not hold what the task needs.
    """
    if not root.is_dir():
        raise UserError(f"--data {root} is not a folder; give one that holds {LAYOUTS}")
    if task == "semantic":
        listing = find_class_list(root)
        if listing is None:
            raise UserError(f"{root} has no list of classes for masks; give a folder that holds {LAYOUTS}")
        return lambda name: _read_masks(root, listing, name, check_files)
    coco, yolo = find_coco_files(root), find_yolo_list(root)
    if coco:
        return lambda name: _read_coco(root, coco, name, task == "instance", check_files)
    if yolo is None:
        raise UserError(f"{root} holds neither COCO nor YOLO annotations; give a folder that holds {LAYOUTS}")
    if task == "instance":
        raise UserError(f"{root} holds boxes (YOLO) and no masks; use it for detection, or give COCO annotations")
    return lambda name: _read_yolo(root, yolo, name)


def _read_coco(root: Path, files: dict[str, Path], name: str, with_shapes: bool, check: bool) -> DenseSplit | None:
    if name not in files:
        return None
    return read_coco(list_coco_folders(root, files[name]), files[name], name, with_shapes, check)


def _read_yolo(root: Path, listing: Path, name: str) -> DenseSplit | None:
    found = find_yolo_folders(root, listing, name)
    return read_yolo(found.images, found.classes, name) if found else None


def _read_masks(root: Path, listing: Path, name: str, check_files: bool) -> DenseSplit | None:
    images = find_split(root / "images", name)
    if images is None:
        return None
    classes = read_class_list(listing)
    masks = next((root / folder for folder in ("masks", "annotations") if (root / folder).is_dir()), root / "masks")
    zero_is_ignored = listing.name == "objectInfo150.txt" and find_encoding(masks, len(classes))
    below = masks / images.relative_to(root / "images")
    return read_index_masks(images, below, classes, name, zero_is_ignored, check_files)
