"""How is one image read from the middle of a shard, in any process?"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from rapidnet.data.folder import Sample
from rapidnet.images import BadImageError, EncodedImage, Source

OPEN_SHARDS = 64
"""Files a process keeps open; a data set may have more shards than a process may have files."""


@dataclass(frozen=True)
class Member(Sample):
    """An image inside a shard; `shard` is the local file, offset and size are in bytes."""

    shard: str
    offset: int
    size: int


class OpenShard:
    """A shard's file descriptor, closed when nobody holds it any longer."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@dataclass(frozen=True)
class ShardFetcher:
    """Reads members by range; copies in other processes open the shards for themselves."""

    # pread has no position that a forked worker or another thread could move, so inherited descriptors stay good.
    _open: Callable[[str], OpenShard] = field(
        default_factory=lambda: lru_cache(OPEN_SHARDS)(OpenShard), repr=False, compare=False
    )

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return ShardFetcher, ()

    def __call__(self, sample: Sample) -> Source:
        """The member's bytes; a shard that has gone or shrunk is a bad image, named with its member."""
        assert isinstance(sample, Member)
        try:
            shard = self._open(sample.shard)
            data = os.pread(shard.descriptor, sample.size, sample.offset)
        except FileNotFoundError:
            raise BadImageError(sample.path, "missing", f"shard {sample.shard} has gone") from None
        except OSError as error:
            raise BadImageError(sample.path, "unreadable", error.strerror or str(error)) from None
        if len(data) < sample.size:
            raise BadImageError(sample.path, "truncated", f"shard {sample.shard} ends within it")
        return EncodedImage(sample.path, data)
