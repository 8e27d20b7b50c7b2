"""Which images and classes does a folder hold, and how is it split into training and validation?"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from rapidnet.data.grouping import compile_groups, hold_out_groups, name_below, refuse_leak
from rapidnet.errors import UserError
from rapidnet.images import IMAGE_EXTENSIONS, Source


@dataclass(frozen=True)
class Sample:
    """One labelled image file; `label` indexes the class list, several times where an image may carry several."""

    path: str
    label: int | tuple[int, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """The classes it carries: one, or for several labels any number."""
        return self.label if isinstance(self.label, tuple) else (self.label,)


def fetch_file(sample: Sample) -> Source:
    """The source of a sample that is a file."""
    return sample.path


@dataclass(frozen=True)
class Split:
    """Labelled images of one purpose. `classes` are sorted names; `samples` are sorted by path."""

    name: str
    classes: list[str]
    samples: list[Sample]
    left_out: int = 0
    """How many images `exclude` kept out of it."""
    fetch: Callable[[Sample], Source] = fetch_file
    """Where a sample's bytes are; must be picklable and safe to call in several processes."""


def open_splits(
    root: str | Path, val_fraction: float, seed: int, holdout: bool = False, exclude: str = "", group_regex: str = ""
) -> tuple[Split, Split]:
    """Return (train, val) of a folder.

    Args:
        root: holds train/<class>/ and val/<class>/, or the classes themselves (then val_fraction is held out).
        val_fraction, seed: the held-out share of each class, at least one image, seeded and stratified.
        holdout: hold out a part of train even if there is a val/.
        exclude: leave out images by a pattern of file names, or those listed in a text file.
        group_regex: its first group, found in paths relative to root, names the images that stay on one side.
    Raises:
        UserError: no such folder, fewer than two classes, an empty class, a class of val unknown in train, an
            `exclude` that leaves nothing out, groups that cannot be told or that are in train and val.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"--data {root} is not a folder; give a folder of images sorted into one folder per class")
    has_splits = (root / "train").is_dir()
    excluded = build_exclusion(exclude)
    train = read_split(root / "train" if has_splits else root, "train", excluded)
    if has_splits and (root / "val").is_dir() and not holdout:
        return divide(train, read_split(root / "val", "val", excluded), root, val_fraction, seed, exclude, group_regex)
    return divide(train, None, root, val_fraction, seed, exclude, group_regex)


def divide(
    train: Split,
    val: Split | None,
    root: str | Path,
    val_fraction: float,
    seed: int,
    exclude: str,
    group_regex: str = "",
) -> tuple[Split, Split]:
    """Give val the classes of train, or hold it out of train if it is None; refuse what cannot be trained on."""
    if len(train.classes) < 2:
        raise UserError(f"{root} holds only one class, '{train.classes[0]}'; a classifier needs at least two")
    if val is not None:
        val = align_classes(val, train.classes)
        if group_regex:
            ours, theirs = ([name_below(sample.path, root) for sample in split.samples] for split in (train, val))
            refuse_leak(ours, theirs, compile_groups(group_regex))
    elif group_regex:
        train, val = hold_out_whole(train, root, val_fraction, seed, group_regex)
    else:
        train, val = hold_out(train, val_fraction, seed)
    if exclude and not train.left_out + val.left_out:
        raise UserError(f"--exclude {exclude} leaves out no image of {root}; mend the pattern or leave it out")
    return train, val


def open_evaluation(root: str | Path, classes: list[str]) -> Split:
    """The images to evaluate on: root/val/<class>/ if there is a val/, else root/<class>/; labels follow `classes`."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"--data {root} is not a folder; give a folder of images sorted into one folder per class")
    split = read_split(root / "val" if (root / "val").is_dir() else root, "val")
    return align_classes(split, classes)


def build_exclusion(exclude: str) -> Callable[[Path], bool]:
    """Whether a path is to be left out: listed in the text file `exclude`, or its name fits the pattern `exclude`."""
    if not exclude:
        return lambda path: False
    if Path(exclude).is_file():
        lines = Path(exclude).read_text(encoding="utf-8").splitlines()
        listed = {str(Path(line).resolve()) for line in lines if line.strip()}
        return lambda path: str(path.resolve()) in listed
    return lambda path: fnmatch(path.name, exclude)


def read_split(folder: Path, name: str, excluded: Callable[[Path], bool] = lambda path: False) -> Split:
    """Read <class>/ folders, images at any depth below them; hidden files and other files are passed over."""
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise UserError(f"{folder} holds no class folders; sort its images into one folder per class")
    samples, left_out = [], 0
    for label, class_name in enumerate(classes):
        found = [
            path
            for path in (folder / class_name).rglob("*")
            if path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".")
        ]
        paths = sorted(str(path) for path in found if not excluded(path))
        left_out += len(found) - len(paths)
        if not paths:
            if found:
                raise UserError(f"the images of class folder {folder / class_name} are all excluded; exclude fewer")
            raise UserError(f"class folder {folder / class_name} holds no images; fill it or remove it")
        samples += [Sample(path, label) for path in paths]
    return Split(name, classes, samples, left_out)


def align_classes(split: Split, classes: list[str]) -> Split:
    """Relabel a split by another class list; a class that list lacks is refused by name."""
    unknown = [name for name in split.classes if name not in classes]
    if unknown:
        raise UserError(
            f"{split.name} holds classes unknown in training: {', '.join(unknown[:5])}; "
            f"known are {', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''}"
        )
    label = {i: classes.index(name) for i, name in enumerate(split.classes)}
    return replace(split, classes=classes, samples=[replace(s, label=label[s.labels[0]]) for s in split.samples])


def order_classes(names: Iterable[str]) -> list[str]:
    """Distinct class names, sorted; by value where all of them are numbers."""
    distinct = set(names)
    return sorted(distinct, key=int) if all(name.isdecimal() for name in distinct) else sorted(distinct)


def hold_out(split: Split, val_fraction: float, seed: int) -> tuple[Split, Split]:
    """Split off a seeded share of each class, at least one image; every class keeps one to train on."""
    chosen: set[int] = set()
    for label, class_name in enumerate(split.classes):
        indices = [i for i, sample in enumerate(split.samples) if sample.label == label]
        if len(indices) < 2:
            raise UserError(f"class '{class_name}' has a single image; two are needed to hold one out for validation")
        count = min(max(1, round(val_fraction * len(indices))), len(indices) - 1)
        rng = np.random.default_rng([seed, label])
        chosen |= {int(i) for i in rng.permutation(indices)[:count]}
    return _divide(split, chosen)


def hold_out_whole(
    split: Split, root: str | Path, val_fraction: float, seed: int, group_regex: str
) -> tuple[Split, Split]:
    """Split off whole groups, about a share of each class; see `grouping.hold_out_groups`."""
    names = [name_below(sample.path, root) for sample in split.samples]
    labels = [sample.labels for sample in split.samples]
    held = hold_out_groups(names, labels, split.classes, val_fraction, seed, compile_groups(group_regex))
    return _divide(split, {i for i, is_held in enumerate(held) if is_held})


def _divide(split: Split, chosen: set[int]) -> tuple[Split, Split]:
    train = [sample for i, sample in enumerate(split.samples) if i not in chosen]
    val = [sample for i, sample in enumerate(split.samples) if i in chosen]
    return replace(split, samples=train), replace(split, name="val", samples=val, left_out=0)


def limit_split(split: Split, images: int, seed: int) -> Split:
    """At most so many images, a seeded choice of each class in proportion, one of each class at least."""
    if len(split.samples) <= images:
        return split
    kept: list[int] = []
    for label in range(len(split.classes)):
        indices = [i for i, sample in enumerate(split.samples) if sample.label == label]
        count = max(1, images * len(indices) // len(split.samples)) if indices else 0
        kept += [int(i) for i in np.random.default_rng([seed, label]).permutation(indices)[:count]]
    return replace(split, samples=[split.samples[i] for i in sorted(kept)])
