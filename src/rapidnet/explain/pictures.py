"""Which pictures are networks explained on, as the pixels they get?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import Split, limit_split
from rapidnet.errors import UserError
from rapidnet.evaluation.images import open_images
from rapidnet.evaluation.read_ahead import read_batches
from rapidnet.explain.subjects import Subject
from rapidnet.images import BadImageError, Source, load_image, prepare_image
from rapidnet.runtimes.network import Array

Item = tuple[str, Array, int]


@dataclass(frozen=True)
class Pictures:
    """names, pixels uint8 [N, 3, S, S], labels int64 [N] (-1 where none is known)."""

    names: list[str]
    pixels: Array
    labels: Array

    def __len__(self) -> int:
        return len(self.names)


def read_files(subject: Subject, paths: Sequence[Path], log: BadSampleLog) -> Pictures:
    """Files without labels; raises UserError if none can be read, or as the log's policy wants."""
    names = [path.name for path in paths]
    return _read(lambda i: (names[i], _prepare(subject.preprocessing, paths[i]), -1), names, log)


def read_validation(subject: Subject, data: str, count: int, size: int, seed: int, log: BadSampleLog) -> Pictures:
    """Labelled pictures of `data`, or those the subject validated on if it is empty.

    Args:
        count: at most so many, a seeded choice of each class in proportion; 0 takes all.
        size: height and width in pixels of what is read; 0 takes the subject's own.
    Raises:
        UserError: data that is not there or does not fit the subject's classes, or a picture as the log's policy wants.
    """
    if not subject.made_from and not data:
        raise UserError(f"{subject.name} does not say what it was trained on; give labelled images with --data")
    size = size or subject.size
    found = open_images(subject.name, subject.classes, "classification", subject.made_from, size, data, "")
    if isinstance(found, BuiltinScenes):
        total = min(count or len(found), len(found))
        return _read(lambda i: _draw(found, i), [f"scene {i}" for i in range(total)], log)
    split = choose_samples(found, count, seed)
    contract = subject.preprocessing | {"image_size": size}

    def read(index: int) -> Item:
        sample = split.samples[index]
        return Path(sample.path).name, _prepare(contract, split.fetch(sample)), sample.labels[0]

    return _read(read, [sample.path for sample in split.samples], log)


def choose_samples(split: Split, count: int, seed: int) -> Split:
    """At most `count` (0: all), of each class in proportion; fewer than there are classes, at random."""
    if not count:
        return split
    kept = limit_split(split, count, seed)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(kept.samples))[:count])
    return replace(kept, samples=[kept.samples[i] for i in chosen])


def _draw(scenes: BuiltinScenes, index: int) -> Item:
    pixels, label = scenes.draw(index)
    return f"scene {index}", pixels, int(label)


def _prepare(contract: dict[str, Any], image: Source) -> Array:
    return prepare_image(load_image(image), contract["image_size"], contract["crop_pct"], contract["interpolation"])


def _read(read: Callable[[int], Item], paths: Sequence[str], log: BadSampleLog) -> Pictures:
    def read_one(index: int) -> Item | BadSample:
        try:
            return read(index)
        except BadImageError as error:
            return BadSample(paths[index], str(error))

    items = [item for batch in read_batches(read_one, len(paths), 64) for item in batch]
    log.record([item for item in items if isinstance(item, BadSample)])
    good = [item for item in items if not isinstance(item, BadSample)]
    if not good:
        raise UserError(f"none of the {len(paths)} images could be read, such as {paths[0]}; give others")
    names, pixels, labels = zip(*good, strict=True)
    return Pictures(list(names), np.stack(pixels), np.array(labels, np.int64))
