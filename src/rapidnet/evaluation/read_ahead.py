"""How are pictures read while the network is busy with those before them?"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from rapidnet.images import Source

Item = TypeVar("Item")
Name = str | Path
"""What a picture is called: the path of a file, or a URL."""
Fetch = Callable[[Name], Source]
"""What holds the picture of a name; raises BadImageError."""


def as_it_is(name: Name) -> Source:
    """A picture on the disk."""
    return name


def read_batches(read: Callable[[int], Item], count: int, batch_size: int) -> Iterator[list[Item]]:
    """Every item once and in order; the next batch is read, in several threads, while the one before is in use.

    Args:
        read: index of an item, 0 to count - 1 -> the item.
    """
    with ThreadPoolExecutor() as pool:
        ahead: list[Future[Item]] | None = None
        # One start past the end: an empty batch, after which the last one that is being read comes out.
        for start in range(0, count + batch_size, batch_size):
            reading = [pool.submit(read, index) for index in range(start, min(start + batch_size, count))]
            if ahead is not None:
                yield [future.result() for future in ahead]
            ahead = reading
