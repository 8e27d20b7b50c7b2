"""Do the pictures that annotations speak of exist, and have they the size that is said? Only headers are read."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import ExifTags

from rapidnet.data.annotation_report import AnnotationReport
from rapidnet.data.dense_records import Record
from rapidnet.images import IMAGE_EXTENSIONS, BadImageError, open_image

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange height and width."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def read_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture as it is decoded here: upright.

    Raises:
        BadImageError: a missing, unreadable or oversized file.
    """
    with open_image(path) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
    return (width, height) if turned else (height, width)


def try_read_size(path: str | Path) -> tuple[int, int] | BadImageError:
    """What `read_size` returns or raises."""
    try:
        return read_size(path)
    except BadImageError as error:
        return error


def look_at_all(look: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`look` at each, several at a time, results in order."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(look, items))


def check_sizes(records: list[Record], report: AnnotationReport) -> list[Record]:
    """The records whose file is there with the size that is said; the others go into the report."""
    usable = []
    sizes = look_at_all(try_read_size, [record.path for record in records])
    for record, size in zip(records, sizes, strict=True):
        if isinstance(size, BadImageError):
            report.add("unusable image", record.path, f"it is {size.kind}", record.path)
        elif size != (record.height, record.width):
            report.add("image size", record.path, describe_mismatch(record, size), record.path)
        else:
            usable.append(record)
    return usable


def describe_mismatch(record: Record, size: tuple[int, int]) -> str:
    """Why a file's (height, width) is not the record's."""
    height, width = size
    why = f"the file is {width}x{height} pixels, its annotations are for {record.width}x{record.height}"
    if (width, height) == (record.height, record.width):
        why += " (were they made before the EXIF orientation was applied?)"
    return why


def list_pictures(folder: Path) -> list[Path]:
    """Every picture below a folder, sorted; hidden files and other files are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".") and path.is_file()
    )
