"""How are all subjects run over the same pictures, clean and corrupted?"""

from collections.abc import Callable, Sequence

import numpy as np

from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.evaluation.read_ahead import read_batches
from rapidnet.robustness.cells import CLEAN, Cell, Key
from rapidnet.robustness.corruptions import corrupt
from rapidnet.robustness.labelled import PictureBatch, Pictures
from rapidnet.robustness.published import Published, read_as_it_is
from rapidnet.robustness.subjects import Subject
from rapidnet.runtimes.network import Array

Cells = dict[Key, Cell]
Advance = Callable[[int], None]
"""Hears of how many pictures, each counted once for each condition, are done."""


def measure_corruptions(
    subjects: Sequence[Subject], pictures: Pictures, conditions: Sequence[Key], seed: int, batch_size: int,
    log: BadSampleLog, advance: Advance,
) -> list[Cells]:  # fmt: skip
    """The cells of each subject, CLEAN and `conditions`; every picture is read once and corrupted once for all."""
    cells = [{key: Cell(subject.classes) for key in (CLEAN, *conditions)} for subject in subjects]
    for batch in pictures.read(subjects[0], batch_size, log):
        _answer(subjects, cells, CLEAN, batch.pixels, batch.labels)
        count = len(batch.labels)

        def corrupt_one(number: int, batch: PictureBatch = batch, count: int = count) -> Array:
            (kind, severity), place = conditions[number // count], number % count
            return corrupt(batch.pixels[place], kind, severity, batch.indices[place], seed)

        for key, corrupted in zip(conditions, read_batches(corrupt_one, len(conditions) * count, count), strict=True):
            _answer(subjects, cells, key, np.stack(corrupted), batch.labels)
            advance(count)
        advance(batch.asked * (len(conditions) + 1) - count * len(conditions))
    return cells


def measure_published(
    subjects: Sequence[Subject], published: Published, batch_size: int, advance: Advance
) -> list[Cells]:
    """The cells of each subject on the pictures of a folder; raises UserError for one of another size."""
    cells = [{key: Cell(subject.classes) for key in published.splits} for subject in subjects]
    for key, split in published.splits.items():

        def read(index: int, samples: Sequence = split.samples) -> tuple[Array, int]:
            return read_as_it_is(samples[index].path, subjects[0]), samples[index].labels[0]

        for items in read_batches(read, len(split.samples), batch_size):
            pixels, labels = zip(*items, strict=True)
            _answer(subjects, cells, key, np.stack(pixels), np.array(labels, np.int64))
            advance(len(items))
    return cells


def _answer(subjects: Sequence[Subject], cells: Sequence[Cells], key: Key, pixels: Array, labels: Array) -> None:
    for subject, own in zip(subjects, cells, strict=True):
        own[key].update(subject.predict(pixels), labels)
