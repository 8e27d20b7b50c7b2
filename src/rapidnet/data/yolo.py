"""How are a folder of pictures and YOLO's text files of boxes read?

Beside images/**/NAME.jpg lies labels/**/NAME.txt, a line for each object: class number, then centre x, centre y, width
and height of the box as shares of the picture's size. No file, or an empty one, means a picture without objects.
"""

from pathlib import Path

from rapidnet.data.annotation_report import AnnotationReport
from rapidnet.data.coco import Found, gather_objects
from rapidnet.data.dense_files import list_pictures, look_at_all, try_read_size
from rapidnet.data.dense_records import DenseSplit, Record
from rapidnet.data.object_boxes import check_box
from rapidnet.errors import UserError
from rapidnet.images import BadImageError


def read_yolo(images: list[Path], classes: list[str], name: str) -> DenseSplit:
    """Every picture below the folders `images`, with the boxes that lie beside it.

    Raises:
        UserError: no picture. Single flaws are in the split's report.
    """
    paths = sorted(path for folder in images for path in list_pictures(folder))
    if not paths:
        raise UserError(f"there is no image below {', '.join(map(str, images))}; put the {name} images there")
    report = AnnotationReport(", ".join(str(find_labels(folder / "x.jpg").parent) for folder in images))
    records = []
    for number, (path, size) in enumerate(zip(paths, look_at_all(try_read_size, paths), strict=True), start=1):
        if isinstance(size, BadImageError):
            report.add("unusable image", str(path), f"it is {size.kind}", str(path))
            continue
        found = _read_labels(find_labels(path), *size, len(classes), report)
        records.append(Record(str(path), number, *size, gather_objects(found)))
    _report_orphans(images, paths, report)
    return DenseSplit(name, classes, records, report, list(range(len(classes)))).count()


def find_labels(image: Path) -> Path:
    """Where the boxes of a picture are: the last folder 'images' of its path becomes 'labels', else beside it."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read_labels(path: Path, height: int, width: int, classes: int, report: AnnotationReport) -> list[Found]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        report.add("malformed annotation", str(path), f"it cannot be read ({error})")
        return []
    found: dict[tuple[float, ...], Found] = {}
    for number, line in enumerate(lines, start=1):
        where, words = f"{path}, line {number}", line.split()
        if not words:
            continue
        try:
            label, (x, y, w, h) = int(words[0]), (float(word) for word in words[1:])
        except ValueError:
            report.add("malformed annotation", where, f"'{line[:60]}' is no class number and four numbers")
            continue
        if not 0 <= label < classes:
            report.add("unknown category", where, f"class {label} of {classes} (they count from 0)")
        elif (label, x, y, w, h) in found:
            report.add("duplicate annotation", where, "the same line stands above")
        else:
            corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            box = check_box(corners, height, width, where, report)
            if box is not None:
                found[label, x, y, w, h] = box, label, False, (box[2] - box[0]) * (box[3] - box[1]), None
    return list(found.values())


def _report_orphans(images: list[Path], paths: list[Path], report: AnnotationReport) -> None:
    expected = {find_labels(path) for path in paths}
    for folder in {find_labels(folder / "x.jpg").parent for folder in images}:
        for path in sorted(folder.rglob("*.txt")) if folder.is_dir() else []:
            # A list of classes is often kept beside the boxes.
            if path not in expected and path.name not in ("classes.txt", "train.txt", "val.txt", "test.txt"):
                report.add("labels without image", str(path), "no image has its name")
