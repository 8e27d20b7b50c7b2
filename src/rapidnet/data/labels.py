"""Which labels does each image carry, where one may carry several? A CSV beside the images says so.

Its header is `file,labels` or `file,labels,split`; files are relative to the data's folder, labels are separated by |
and may be none, split is train or val. Other columns are passed over.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidnet.data.folder import Sample, Split, build_exclusion
from rapidnet.data.grouping import compile_groups, hold_out_groups, name_below, refuse_leak, stratify
from rapidnet.errors import UserError, nearest

SEPARATOR = "|"


@dataclass(frozen=True)
class Row:
    """One line of the CSV that names an image; `split` is empty where the CSV has no such column."""

    line: int
    path: Path
    labels: tuple[str, ...]
    split: str


def open_labels(
    labels: str | Path, root: str | Path, val_fraction: float, seed: int, holdout: bool = False, exclude: str = "",
    group_regex: str = "",
) -> tuple[Split, Split]:  # fmt: skip
    """Return (train, val) of a CSV of labels; every sample's label is a tuple of class indices, ascending.

    Args:
        labels: the CSV; root: the folder its files are relative to. The others as in `folder.open_splits`.
    Raises:
        UserError: a CSV that cannot be meant, naming file and line; data that cannot be split as asked.
    """
    rows, left_out = _exclude(read_rows(Path(labels), Path(root)), exclude, root)
    classes = list_classes(rows, labels)
    samples = [Sample(str(row.path), tuple(sorted(map(classes.index, row.labels)))) for row in rows]
    in_train = [row.split != "val" for row in rows]
    if not any(in_train):
        raise UserError(f"{labels} has no line of split train; mark those to train on")
    train = [sample for sample, own in zip(samples, in_train, strict=True) if own]
    val = [sample for sample, own in zip(samples, in_train, strict=True) if not own]
    if holdout or not val:
        train, val = _hold_out(train, classes, root, val_fraction, seed, group_regex)
    elif group_regex:
        ours, theirs = ([name_below(sample.path, root) for sample in side] for side in (train, val))
        refuse_leak(ours, theirs, compile_groups(group_regex))
    trained = {label for sample in train for label in sample.labels}
    for label, class_name in enumerate(classes):
        if label not in trained:
            line = next(row.line for row in rows if class_name in row.labels)
            raise UserError(f"{labels}, line {line}: label '{class_name}' has no image to train on; give it one")
    return Split("train", classes, train, left_out), Split("val", classes, val)


def open_labelled_evaluation(labels: str | Path, root: str | Path, classes: list[str]) -> Split:
    """The images of a CSV to evaluate on: those of split val if there are any, else all; labels follow `classes`.

    Raises:
        UserError: a CSV that cannot be meant, or a label unknown in training, naming file and line.
    """
    rows = read_rows(Path(labels), Path(root))
    for row in rows:
        for name in row.labels:
            if name not in classes:
                hint = nearest(name, classes)
                raise UserError(f"{labels}, line {row.line}: label '{name}' is unknown in training{hint}; remove it")
    chosen = [row for row in rows if row.split == "val"] or rows
    samples = [Sample(str(row.path), tuple(sorted(map(classes.index, row.labels)))) for row in chosen]
    return Split("val", classes, samples)


def limit_labelled(split: Split, images: int, seed: int) -> Split:
    """About so many images, a seeded choice in which each label keeps its share."""
    if len(split.samples) <= images:
        return split
    chosen = _choose(split.samples, split.classes, images / len(split.samples), seed)
    return replace(split, samples=[sample for sample, own in zip(split.samples, chosen, strict=True) if own])


def read_rows(path: Path, root: Path) -> list[Row]:
    """Every line of the CSV, checked.

    Raises:
        UserError: see `open_labels`.
    """
    if not root.is_dir():
        raise UserError(f"--data {root} is not a folder; give the folder that the files in {path} are relative to")
    if not path.is_file():
        raise UserError(f"--labels {path} does not exist; give a CSV with the header file,labels")
    try:
        # Spreadsheets put a byte order mark first.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or [])
            rows = [_read_row(path, root, reader.line_num, values) for values in reader]
    except UnicodeDecodeError as error:
        raise UserError(f"--labels {path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not a CSV ({error}); mend its quotes") from error
    if not rows:
        raise UserError(f"{path} has no line below its header; add a line for each image")
    first: dict[Path, int] = {}
    for row in rows:
        if row.path in first:
            raise UserError(
                f"{path}, line {row.line}: {name_below(str(row.path), root)} is in line {first[row.path]} already; "
                "put all of its labels in one line"
            )
        first[row.path] = row.line
    return rows


def list_classes(rows: Sequence[Row], path: str | Path) -> list[str]:
    """Every label, sorted.

    Raises:
        UserError: fewer than two, or one that a single line has: most likely misspelt, and not to be validated.
    """
    counts = Counter(name for row in rows for name in row.labels)
    classes = sorted(counts)
    for row in rows:
        for name in row.labels:
            if counts[name] == 1:
                hint = nearest(name, [other for other in classes if counts[other] > 1])
                raise UserError(
                    f"{path}, line {row.line}: label '{name}' occurs only once{hint}; "
                    "correct it, remove it or label more images"
                )
    if len(classes) < 2:
        raise UserError(f"{path} names {len(classes)} label; two are needed, or sort the images into class folders")
    return classes


def _check_header(path: Path, names: Sequence[str]) -> None:
    for name in ("file", "labels"):
        if name not in names:
            raise UserError(
                f"{path}, line 1: there is no column '{name}'; write the header file,labels or file,labels,split"
            )


def _read_row(path: Path, root: Path, line: int, values: dict[str, str]) -> Row:
    where = f"{path}, line {line}"
    if None in values or None in values.values():
        raise UserError(f"{where}: not as many fields as the header has; separate labels by | and quote commas")
    split = values["split"].strip() if "split" in values else ""
    if "split" in values and split not in ("train", "val"):
        raise UserError(f"{where}: split '{split}' is unknown; write train or val")
    image = root / values["file"].strip()
    if not image.is_file():
        raise UserError(f"{where}: there is no file '{values['file']}' below {root}; correct or remove it")
    labels = [label.strip() for label in values["labels"].split(SEPARATOR)] if values["labels"].strip() else []
    if "" in labels or len(set(labels)) < len(labels):
        what = "an empty label" if "" in labels else f"label '{Counter(labels).most_common(1)[0][0]}' twice"
        raise UserError(f"{where}: '{values['labels']}' holds {what}; separate different labels by one |")
    return Row(line, image, tuple(labels), split)


def _exclude(rows: list[Row], exclude: str, root: str | Path) -> tuple[list[Row], int]:
    if not exclude:
        return rows, 0
    excluded = build_exclusion(exclude)
    kept = [row for row in rows if not excluded(row.path)]
    if len(kept) in (0, len(rows)):
        which = "no image" if kept else "every image"
        raise UserError(f"--exclude {exclude} leaves out {which} of {root}; mend the pattern or leave it out")
    return kept, len(rows) - len(kept)


def _hold_out(
    samples: list[Sample], classes: list[str], root: str | Path, val_fraction: float, seed: int, group_regex: str
) -> tuple[list[Sample], list[Sample]]:
    if group_regex:
        names, labels = [name_below(sample.path, root) for sample in samples], [sample.labels for sample in samples]
        chosen = hold_out_groups(names, labels, classes, val_fraction, seed, compile_groups(group_regex))
    else:
        chosen = _choose(samples, classes, val_fraction, seed)
    held = [sample for sample, is_val in zip(samples, chosen, strict=True) if is_val]
    return [sample for sample, is_val in zip(samples, chosen, strict=True) if not is_val], held


def _choose(samples: list[Sample], classes: list[str], share: float, seed: int) -> NDArray[np.bool_]:
    counts = np.zeros((len(samples), len(classes)), dtype=np.int64)
    for row, sample in enumerate(samples):
        counts[row, list(sample.labels)] = 1
    return stratify(counts, np.ones(len(samples), dtype=np.int64), share, seed)
