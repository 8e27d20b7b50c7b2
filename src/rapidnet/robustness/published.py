"""How is a published ImageNet-C folder read? Its pictures as they are: resized again, they are no longer that set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rapidnet.data.folder import Split, limit_split, read_split
from rapidnet.errors import UserError
from rapidnet.images import load_image
from rapidnet.robustness.cells import Key
from rapidnet.robustness.class_names import match_classes
from rapidnet.robustness.subjects import Subject
from rapidnet.runtimes.network import Array


@dataclass(frozen=True)
class Published:
    """Splits of the same pictures, by kind and severity."""

    root: Path
    splits: dict[Key, Split]

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kind for kind, _ in self.splits))

    def __len__(self) -> int:
        return len(next(iter(self.splits.values())).samples)


def open_published(
    root: str, subject: Subject, kinds: Sequence[str], severities: Sequence[int], named: bool, images: int, seed: int
) -> Published:
    """Find the pictures of each kind and severity, kind/severity/class/*.

    Args:
        kinds: those wanted; named: every one must be there, else those that are there are taken.
        images: at most so many of each (0 for all), the same of each.
    Raises:
        UserError: no such folder, kind, severity or class; folders that do not hold the same pictures.
    """
    folder = Path(root)
    missing = [kind for kind in kinds if not (folder / kind).is_dir()]
    if len(missing) == len(kinds) or (named and missing):
        raise UserError(f"{folder} holds no folder {missing[0]}; give one with kind/severity/class/ as ImageNet-C has")
    splits: dict[Key, Split] = {}
    kept: list[str] = []
    for kind in (kind for kind in kinds if kind not in missing):
        for severity in severities:
            where = folder / kind / str(severity)
            if not where.is_dir():
                raise UserError(f"{where} is not there; give --severities that the folder has")
            split = match_classes(read_split(where, "val"), subject.classes, where)
            kept = kept or _name(where, limit_split(split, images, seed) if images else split)
            by_name = dict(zip(_name(where, split), split.samples, strict=True))
            lacking = [name for name in kept if name not in by_name]
            if lacking or (not images and len(by_name) != len(kept)):
                raise UserError(f"{where} does not hold the pictures of the other folders ({(lacking or kept)[0]})")
            splits[kind, severity] = replace(split, samples=[by_name[name] for name in kept])
    return Published(folder, splits)


def read_as_it_is(path: str, subject: Subject) -> Array:
    """uint8 [3, S, S].

    Raises:
        UserError: a picture of another size than the network's input, by name.
    """
    image = load_image(path)
    if image.size != (subject.size, subject.size):
        raise UserError(
            f"{path} is {image.width}x{image.height} pixels and {subject.name} takes {subject.size}x{subject.size}; "
            "corrupted pictures are read without resizing, so give a folder of that size"
        )
    return np.asarray(image).transpose(2, 0, 1)


def _name(where: Path, split: Split) -> list[str]:
    return [Path(sample.path).relative_to(where).as_posix() for sample in split.samples]
