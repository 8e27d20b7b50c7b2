"""Which labelled pictures are measured, and how do they come, ready for the network, a batch at a time?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import Split, limit_split
from rapidnet.errors import UserError
from rapidnet.evaluation.images import open_images
from rapidnet.evaluation.read_ahead import read_batches
from rapidnet.images import BadImageError, load_image
from rapidnet.robustness.subjects import Subject
from rapidnet.runtimes.network import Array


@dataclass(frozen=True)
class PictureBatch:
    """pixels uint8 [B, 3, S, S], labels int64 [B], indices: the pictures' numbers in their data; `asked`: how many
    were to be read."""

    pixels: Array
    labels: Array
    indices: list[int]
    asked: int


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures as one subject, and all that see the same pixels, are given them."""

    found: Split | BuiltinScenes
    chosen: list[int]
    """The numbers, in the whole data, of those that are measured: what the corruptions are seeded by."""

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, subject: Subject, batch_size: int, log: BadSampleLog) -> Iterator[PictureBatch]:
        """Every picture once, in order; unreadable ones as the log's policy wants."""

        def read_one(position: int) -> tuple[int, Array, int] | BadSample:
            index = self.chosen[position]
            if isinstance(self.found, BuiltinScenes):
                pixels, label = self.found.draw(index)
                return index, pixels, int(label)
            sample = self.found.samples[index]
            try:
                return index, subject.prepare(load_image(self.found.fetch(sample))), sample.labels[0]
            except BadImageError as error:
                return BadSample(sample.path, str(error))

        for items in read_batches(read_one, len(self), batch_size):
            log.record([item for item in items if isinstance(item, BadSample)])
            good = [item for item in items if not isinstance(item, BadSample)]
            if good:
                indices, pixels, labels = zip(*good, strict=True)
                yield PictureBatch(np.stack(pixels), np.array(labels, np.int64), list(indices), len(items))


def open_pictures(subject: Subject, data: str, images: int, seed: int) -> Pictures:
    """The pictures of `data`, or those that the subject validated on if it is empty; at most `images` if not 0.

    Raises:
        UserError: data that is not there or does not fit the subject's classes.
    """
    if not subject.made_from and not data:
        raise UserError(f"{subject.name} does not say what it was trained on; give labelled images with --data")
    found = open_images(subject.name, subject.classes, "classification", subject.made_from, subject.size, data, "")
    if isinstance(found, BuiltinScenes):
        count = len(found)
        return Pictures(found, list(range(min(images, count) if images else count)))
    place = {sample.path: index for index, sample in enumerate(found.samples)}
    kept = limit_split(found, images, seed) if images else found
    return Pictures(found, [place[sample.path] for sample in kept.samples])
