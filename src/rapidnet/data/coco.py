"""How are a folder of pictures and a COCO file of instances read?"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.data.annotation_report import AnnotationReport
from rapidnet.data.dense_files import check_sizes
from rapidnet.data.dense_records import DenseSplit, Objects, Record
from rapidnet.data.object_boxes import Box, check_box
from rapidnet.data.object_masks import OutlineError, Shape, read_shape
from rapidnet.errors import UserError
from rapidnet.images import MAX_PIXELS

Found = tuple[Box, int, bool, float, Shape | None]
"""Box, label, whether a crowd, area, outline."""
NEEDED = "image_id, category_id, bbox (left, top, width, height) and, if it has one, an iscrowd of 0 or 1"


def read_coco(
    images: Sequence[Path], annotations: Path, name: str, with_shapes: bool = True, check_files: bool = True
) -> DenseSplit:
    """Every picture of a COCO instances file, with and without objects; classes in the order of their numbers.

    Args:
        images: the folder that file names are relative to, or several that may be; annotations: the JSON file.
        name: 'train' or 'val', for messages.
        with_shapes: read outlines, and refuse objects without one; else boxes alone are looked at.
        check_files: hold the sizes against the picture files now; what is left out is noticed when it is read.
    Raises:
        UserError: a file that is no COCO instances file. Single flaws are in the split's report.
    """
    content = _load(annotations)
    report = AnnotationReport(str(annotations))
    classes, numbers = _read_categories(content["categories"], annotations)
    table = {number: label for label, number in enumerate(numbers)}
    records, left_out = _read_images(content["images"], find_folder(images, content["images"], annotations), report)
    objects = _read_annotations(content["annotations"], records, left_out, table, with_shapes, report)
    split = [replace(record, objects=gather_objects(objects[number])) for number, record in records.items()]
    usable = check_sizes(split, report) if check_files else split
    return DenseSplit(name, classes, usable, report, numbers).count()


def find_folder(folders: Sequence[Path], rows: list[Any], annotations: Path) -> Path:
    """The folder in which the most of some file names are found, the first among equals.

    Raises:
        UserError: none of the names is in any of several folders.
    """
    names = [row["file_name"] for row in rows if isinstance(row, dict) and isinstance(row.get("file_name"), str)]
    some = names[:: max(1, len(names) // 50)]
    found = [sum((folder / name).is_file() for name in some) for folder in folders]
    if len(folders) > 1 and some and not max(found):
        listed = ", ".join(map(str, folders))
        raise UserError(f"{annotations} speaks of {some[0]}, and none of its images is in {listed}; put them there")
    return folders[found.index(max(found))]


def gather_objects(found: list[Found]) -> Objects:
    """One array for each property of the objects of a picture."""
    return Objects(
        np.array([row[0] for row in found], dtype=np.float64).reshape(-1, 4),
        np.array([row[1] for row in found], dtype=np.int64),
        np.array([row[2] for row in found], dtype=np.bool_),
        np.array([row[3] for row in found], dtype=np.float64),
        tuple(row[4] for row in found),
    )


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"there is no annotation file {path}; give a COCO instances file") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}); write it again") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{path} has no list '{key}'; give a COCO instances file")
    return content


def _read_categories(rows: list[Any], source: str | Path) -> tuple[list[str], list[int]]:
    try:
        pairs = sorted((row["id"], str(row["name"])) for row in rows)
        sound = all(type(number) is int for number, _ in pairs)
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise UserError(f"a category of {source} has no number 'id' or no 'name'; mend it") from None
    numbers, classes = [number for number, _ in pairs], [name for _, name in pairs]
    for what, values in (("number", numbers), ("name", classes)):
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise UserError(f"two categories of {source} have the {what} '{twice.pop()}'; rename or remove one")
    if not classes:
        raise UserError(f"{source} names no category; list them under 'categories'")
    return classes, numbers


def _read_images(rows: list[Any], folder: Path, report: AnnotationReport) -> tuple[dict[int, Record], set[int]]:
    """Records by number, and the numbers of those left out."""
    records: dict[int, Record] = {}
    left_out: set[int] = set()
    names: dict[str, int] = {}
    for position, row in enumerate(rows):
        where = f"image {position + 1} of the list"
        try:
            number, name = row["id"], row["file_name"]
            height, width = row["height"], row["width"]
            sound = isinstance(name, str) and name and all(type(value) is int for value in (number, height, width))
        except (KeyError, TypeError):
            sound = False
        if not sound:
            report.add("malformed image", where, "it needs id, file_name, height and width")
        elif height < 1 or width < 1 or height * width > MAX_PIXELS:
            report.add(
                "malformed image", f"image {number}, {name}", f"its size is {width}x{height}", str(folder / name)
            )
            left_out.add(number)
        elif number in records or name in names:
            other = records[number].path if number in records else f"image {names[name]}"
            report.add("duplicate image", f"image {number}, {name}", f"its number or file is also that of {other}")
            left_out.add(number)
        else:
            names[name] = number
            records[number] = Record(str(folder / name), number, height, width)
    return records, left_out - set(records)


def _read_annotations(
    rows: list[Any], records: dict[int, Record], left_out: set[int], table: dict[int, int], with_shapes: bool,
    report: AnnotationReport,
) -> dict[int, list[Found]]:  # fmt: skip
    objects: dict[int, list[Found]] = defaultdict(list)
    seen: set[int] = set()
    for position, row in enumerate(rows):
        number = row.get("id") if isinstance(row, dict) else None
        where = f"annotation {number}" if number is not None else f"annotation {position + 1} of the list"
        if number is not None and (not isinstance(number, int) or number in seen):
            kind = "duplicate annotation" if isinstance(number, int) else "malformed annotation"
            report.add(kind, where, "another has this number" if isinstance(number, int) else "its id is no number")
            continue
        if number is not None:
            seen.add(number)
        found = _read_annotation(row, where, records, left_out, table, with_shapes, report)
        if found is not None:
            objects[row["image_id"]].append(found)
    return objects


def _read_annotation(
    row: Any, where: str, records: dict[int, Record], left_out: set[int], table: dict[int, int], with_shapes: bool,
    report: AnnotationReport,
) -> Found | None:  # fmt: skip
    try:
        image, category, crowd = row["image_id"], row["category_id"], {0: False, 1: True}[row.get("iscrowd", 0)]
        left, top, width, height = (float(value) for value in row["bbox"])
        area = float(row.get("area", width * height))
        known = image in records, category in table, image in left_out
    except (KeyError, TypeError, ValueError, OverflowError):
        report.add("malformed annotation", where, f"it needs {NEEDED}")
        return None
    if known[2]:
        report.counts["objects of images left out"] += 1
        return None
    if not known[0]:
        report.add("unknown image", where, f"image {image} is not in the list")
        return None
    record = records[image]
    where = f"{where} of {Path(record.path).name}"
    if not known[1]:
        report.add("unknown category", where, f"category {category} is not in the list")
        return None
    box = check_box((left, top, left + width, top + height), record.height, record.width, where, report)
    if box is None:
        return None
    shape = None
    if with_shapes:
        try:
            shape = read_shape(row.get("segmentation"), record.height, record.width)
        except OutlineError as error:
            report.add("empty outline" if error.empty else "malformed outline", where, str(error))
            return None
    sound = np.isfinite(area) and area > 0
    return box, table[category], crowd, area if sound else (box[2] - box[0]) * (box[3] - box[1]), shape
