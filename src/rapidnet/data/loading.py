"""How do images reach the loop in batches, in an order that can be repeated and resumed?"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from rapidnet.data.bad_samples import BadSample
from rapidnet.data.batches import BatchShares
from rapidnet.data.decode import load_pixels
from rapidnet.data.folder import Sample, Split
from rapidnet.data.transforms import ImageTransform, TrainTransform, open_stream, seed_all
from rapidnet.images import BadImageError, load_image
from rapidnet.memory import keep_freed_memory

Key = tuple[int, ...]
"""(epoch, index), and n where an image is drawn for the n-th time again within its epoch: everything random about a
sample follows from it and the run's seed."""
Label = int | Tensor
"""A class index, or 0 and 1 for each class, float32 [C]."""


@dataclass
class Batch:
    """images uint8 [B, 3, H, W] (channels-last memory), targets int64 [B] or float32 [B, C], bad images, all keys.

    `good_keys` are those of `images`, in their order.
    """

    images: Tensor
    targets: Tensor
    bad: list[BadSample]
    keys: list[Key]
    good_keys: list[Key]


class SizedDataset(Protocol):
    """A map-style dataset of (image uint8 [3, H, W], label) by (epoch, index), with named classes."""

    classes: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, key: Key) -> tuple[Tensor, Label] | BadSample: ...


class KeyedDataset(Protocol):
    """A map-style dataset of anything that a function collates, by (epoch, index)."""

    def __getitem__(self, key: Key) -> Any: ...


class ImageFolder(Dataset[tuple[Tensor, Label] | BadSample]):
    """The images of one split through one transform; an unreadable one comes as a `BadSample`."""

    def __init__(self, split: Split, transform: ImageTransform | TrainTransform, seed: int) -> None:
        self.classes, self.samples, self.fetch = split.classes, split.samples, split.fetch
        self.transform, self.seed = transform, seed

    def __len__(self) -> int:
        return len(self.samples)

    def names(self) -> list[str]:
        """A name and label for every image, the same wherever the folder lies."""
        return [f"{Path(sample.path).name} {sample.label}" for sample in self.samples]

    def __getitem__(self, key: Key) -> tuple[Tensor, Label] | BadSample:
        sample = self.samples[key[1]]
        try:
            source = self.fetch(sample)
            if isinstance(self.transform, TrainTransform):
                return self.transform(load_pixels(source), open_stream(self.seed, *key), key[0]), self.encode(sample)
            return self.transform(load_image(source)), self.encode(sample)
        except BadImageError as error:
            return BadSample(sample.path, str(error))

    def encode(self, sample: Sample) -> Label:
        """The sample's class, or several as zeros and ones."""
        if isinstance(sample.label, int):
            return sample.label
        several = torch.zeros(len(self.classes))
        several[list(sample.label)] = 1
        return several


class EpochSampler(Sampler[Key]):
    """Keys (epoch, index) of one epoch, shuffled by (seed, epoch), from `start` on.

    `set_epoch` chooses the epoch and how many samples of it were seen before an interruption. With `repeats` an epoch
    is as long but has that many views of fewer images, side by side (repeated augmentation, Hoffer et al. 2020).
    """

    def __init__(self, length: int, seed: int, shuffle: bool = True, repeats: int = 1) -> None:
        self.length, self.seed, self.shuffle, self.repeats = length, seed, shuffle, repeats
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        return self.length - self.start

    def __iter__(self) -> Iterator[Key]:
        yield from self.draw()[self.start :]

    def draw(self) -> list[Key]:
        """Every key of the epoch, in order: a function of (seed, epoch) alone."""
        order = torch.arange(self.length)
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.length, generator=generator)
        indices = order[: -(-self.length // self.repeats)].tolist()
        keys: list[Key] = []
        for index in indices:
            keys += [(self.epoch, index, n) if n else (self.epoch, index) for n in range(self.repeats)]
        return keys[: self.length]


def collate(items: list[tuple[Key, tuple[Tensor, Label] | BadSample]]) -> Batch:
    """Stack the readable samples of a batch and list the others; a batch of none has an empty image tensor."""
    good = [item for _, item in items if not isinstance(item, BadSample)]
    # Decoders leave an image's channels beside each other and the network takes them so: nothing is transposed.
    rows = [image.permute(1, 2, 0) for image, _ in good] or [torch.empty(1, 1, 3, dtype=torch.uint8)]
    images = torch.stack(rows)[: len(good)].permute(0, 3, 1, 2)
    # One class each, or a row of zeros and ones.
    targets = torch.stack([torch.as_tensor(label) for _, label in good]) if good else torch.empty(0, dtype=torch.int64)
    bad = [item for _, item in items if isinstance(item, BadSample)]
    good_keys = [key for key, item in items if not isinstance(item, BadSample)]
    return Batch(images, targets, bad, [key for key, _ in items], good_keys)


class _Keyed(Dataset[tuple[Key, Any]]):
    """Hands each sample out with its key, so that batches know what they were made of."""

    def __init__(self, dataset: KeyedDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Key) -> tuple[Key, Any]:
        return key, self.dataset[key]


def build_loader(
    dataset: KeyedDataset, sampler: EpochSampler, batch_size: int, workers: int, train: bool,
    rank: int = 0, world: int = 1, collate: Callable[[list[Any]], Any] = collate,
) -> DataLoader:  # fmt: skip
    """A loader of this process's share of each batch, which `collate` makes from pairs (key, sample).

    In training an incomplete last batch is left out unless it is the only one; in evaluation every image comes once.
    """
    return DataLoader(
        _Keyed(dataset),
        batch_sampler=BatchShares(sampler, batch_size, train and sampler.length >= batch_size, rank, world),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    seed_all(worker)
    main = multiprocessing.parent_process()
    if main is not None:
        threading.Thread(target=_end_after, args=(main,), daemon=True).start()


def _end_after(main: BaseProcess) -> None:
    """End this worker once the process it works for is gone, however it went.

    torch's own watch is for the parent, which a fork server is instead: it stays, and half a gigabyte a worker with it.
    """
    main.join()
    os._exit(1)
