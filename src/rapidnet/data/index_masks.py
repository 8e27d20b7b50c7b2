"""How are pictures and the masks of their pixels' classes read? A mask is a PNG of class numbers, beside its picture by
name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rapidnet.data.annotation_report import AnnotationReport
from rapidnet.data.dense_files import list_pictures, look_at_all, try_read_size
from rapidnet.data.dense_records import IGNORE, DenseSplit, Record
from rapidnet.errors import UserError
from rapidnet.images import MAX_PIXELS, BadImageError, open_image

Mask = NDArray[np.uint8]
INDEX_MODES = ("L", "P", "1")
"""Pillow's modes of at most 256 numbers; anything else holds colours or more classes than a byte counts."""
MAX_CLASSES = 255
LOOKED_AT = 200
"""So many masks of a folder, evenly spread, tell how it is written."""


class BadMaskError(UserError):
    """A mask that cannot be used; `flaw` is a key of annotation_report.FLAWS."""

    def __init__(self, path: str | Path, flaw: str, why: str) -> None:
        super().__init__(f"mask {path}: {why}; mend or remove it, or pass --bad-samples skip or quarantine")
        self.flaw, self.why = flaw, why


def read_mask(path: str | Path, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Mask:
    """The numbers in a mask as the file holds them, uint8 [H, W], upright.

    Args:
        size: the (height, width) it must have; another is refused before its pixels are decoded.
    Raises:
        BadMaskError: a missing, unreadable or oversized file, one of another size, or one that does not hold numbers.
    """
    try:
        with open_image(path, max_pixels) as image:
            if image.format != "PNG":
                raise BadMaskError(path, "unusable mask", f"it is a {image.format}; only a PNG keeps its numbers")
            if image.mode not in INDEX_MODES:
                raise BadMaskError(path, "unusable mask", f"it holds {image.mode} pixels, not a class number each")
            if size is not None and sorted(size) != sorted(image.size):
                raise BadMaskError(path, "mask size", _compare_sizes(image.size, size))
            image.load()
            upright: Image.Image = ImageOps.exif_transpose(image)
    except BadImageError as error:
        flaw = "missing mask" if error.kind == "missing" else "unusable mask"
        raise BadMaskError(path, flaw, f"it is {error.kind}") from None
    if size is not None and (upright.height, upright.width) != size:
        raise BadMaskError(path, "mask size", _compare_sizes(upright.size, size))
    return np.asarray(upright).astype(np.uint8)


def decode_mask(path: str | Path, height: int, width: int, classes: int, zero_is_ignored: bool) -> Mask:
    """The classes of a picture's pixels, uint8 [height, width], IGNORE where there is none.

    Raises:
        BadMaskError: as `read_mask`; another size than the picture's; a number that is no class.
    """
    numbers = read_mask(path, (height, width))
    table, known = build_table(classes, zero_is_ignored)
    unknown = np.flatnonzero((count_numbers(numbers) > 0) & ~known)
    if len(unknown):
        first = 1 if zero_is_ignored else 0
        found = ", ".join(map(str, unknown[:5].tolist()))
        raise BadMaskError(path, "mask class", f"it holds {found}; classes are {first} to {first + classes - 1}")
    # numpy's look-up makes an index of eight bytes for each pixel first.
    looked_up = bytearray(numbers.tobytes().translate(table.tobytes()))
    return np.frombuffer(looked_up, dtype=np.uint8).reshape(height, width)


def count_numbers(mask: Mask) -> NDArray[np.int64]:
    """How often each number occurs in a mask, [256]."""
    return np.array(Image.fromarray(mask).histogram(), dtype=np.int64)


def build_table(classes: int, zero_is_ignored: bool) -> tuple[Mask, NDArray[np.bool_]]:
    """Of each number in a file: its class [256], and whether it may occur [256]."""
    table = np.full(256, IGNORE, dtype=np.uint8)
    known = np.zeros(256, dtype=np.bool_)
    first = 1 if zero_is_ignored else 0
    table[first : first + classes] = np.arange(classes)
    known[first : first + classes] = True
    known[[0, IGNORE]] = True
    return table, known


def read_index_masks(
    images: str | Path, masks: str | Path, classes: list[str], name: str, zero_is_ignored: bool = False,
    check_files: bool = True,
) -> DenseSplit:  # fmt: skip
    """Every picture below `images` with the mask of the same name below `masks`.

    Args:
        zero_is_ignored: a mask's 0 is no class and k + 1 is class k; else k is class k.
        check_files: decode every mask now; what is left out is noticed when it is read.
    Raises:
        UserError: no picture, no or too many classes. Single flaws are in the split's report.
    """
    images, masks = Path(images), Path(masks)
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise UserError(f"{masks} goes with {len(classes)} classes; a mask can hold from 1 to {MAX_CLASSES}")
    paths = list_pictures(images) if images.is_dir() else []
    if not paths:
        raise UserError(f"there is no image below {images}; put the {name} images there")
    report = AnnotationReport(str(masks))
    records = []
    for number, (path, size) in enumerate(zip(paths, look_at_all(try_read_size, paths), strict=True), start=1):
        mask = masks / path.relative_to(images).with_suffix(".png")
        if isinstance(size, BadImageError):
            report.add("unusable image", str(path), f"it is {size.kind}", str(path))
        elif not mask.is_file():
            report.add("missing mask", str(path), f"there is no {mask}", str(path))
        else:
            records.append(Record(str(path), number, *size, mask=str(mask)))
    expected = {masks / path.relative_to(images).with_suffix(".png") for path in paths}
    for mask in sorted(masks.rglob("*.png")):
        if mask not in expected and not mask.name.startswith("."):
            report.add("mask without image", str(mask), "no image has its name")
    split = DenseSplit(name, classes, records, report, list(range(len(classes))), zero_is_ignored)
    return (_check_masks(split) if check_files else split).count()


def find_encoding(masks: Path, classes: int) -> bool:
    """Whether 0 is no class in a folder of masks: in ADE20K's own files it is, in files prepared for training 255 is.

    A mask with 255 says the one, a mask whose highest number is the number of classes says the other; without either
    the files are taken for the original ones.

    Raises:
        UserError: masks of both kinds.
    """
    last, prepared = "", ""

    def look(path: Path) -> tuple[bool, bool]:
        try:
            counts = count_numbers(read_mask(path))
        except BadMaskError:
            return False, False
        return classes < IGNORE and bool(counts[classes]), bool(counts[IGNORE])

    paths = sorted(masks.rglob("*.png"))
    paths = paths[:: max(1, len(paths) // LOOKED_AT)]
    for path, (has_last, has_ignore) in zip(paths, look_at_all(look, paths), strict=True):
        last, prepared = last or (str(path) if has_last else ""), prepared or (str(path) if has_ignore else "")
    if last and prepared:
        raise UserError(
            f"{last} holds the number {classes}, so classes would count from 1, and {prepared} holds 255, so they "
            "would count from 0; the masks of one folder must be written alike"
        )
    return not prepared


def _check_masks(split: DenseSplit) -> DenseSplit:
    def look(record: Record) -> BadMaskError | None:
        try:
            decode_mask(record.mask, record.height, record.width, len(split.classes), split.zero_is_ignored)
        except BadMaskError as error:
            return error
        return None

    usable = []
    for record, error in zip(split.records, look_at_all(look, split.records), strict=True):
        if error is None:
            usable.append(record)
        else:
            split.report.add(error.flaw, record.mask, error.why, record.path)
    return replace(split, records=usable)


def _compare_sizes(size: tuple[int, int], expected: tuple[int, int]) -> str:
    return f"it is {size[0]}x{size[1]} pixels, its image {expected[1]}x{expected[0]}"
