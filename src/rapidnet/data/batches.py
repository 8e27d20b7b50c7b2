"""Which part of which batch does a process read?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch.utils.data import Sampler

if TYPE_CHECKING:
    from rapidnet.data.loading import EpochSampler, Key


def share_rows(size: int, rank: int, world: int) -> list[int]:
    """The rows of a batch of `size` images that process `rank` of `world` takes.

    Rows come in pairs (i, size - 1 - i): mixup and CutMix pair an image with its mirror in the batch, so mixing each
    share by itself mixes the same images as mixing the whole batch. One process takes all rows in order.
    """
    pairs = size // 2
    low, high = pairs * rank // world, pairs * (rank + 1) // world
    middle = [pairs] if size % 2 and rank == world - 1 else []
    return [*range(low, high), *middle, *range(size - high, size - low)]


class BatchShares(Sampler["list[Key]"]):
    """Lists of keys: for each batch of the whole job, the share of this process, possibly empty.

    A batch is the same whatever the number of processes, so a run may change it at any checkpoint.

    Args:
        sampler: the epoch's keys, equal in every process.
        batch_size: images in a batch, over all processes.
        drop_last: leave an incomplete last batch out.
    """

    def __init__(
        self, sampler: "EpochSampler", batch_size: int, drop_last: bool, rank: int = 0, world: int = 1
    ) -> None:
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> "Iterator[list[Key]]":
        batch: list[Key] = []
        for key in self.sampler:
            batch.append(key)
            if len(batch) == self.batch_size:
                yield self._share(batch)
                batch = []
        if batch and not self.drop_last:
            yield self._share(batch)

    def _share(self, batch: "list[Key]") -> "list[Key]":
        return [batch[row] for row in share_rows(len(batch), self.rank, self.world)]
