"""How is the list of pictures kept beside their answers, so that every part is found without reading the rest?

A Parquet file with a group of rows for each part, written before the first answer and never changed.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rapidnet.bulk.folders import Folder
from rapidnet.bulk.pictures import Listed
from rapidnet.errors import UserError

LISTING = "_listing.parquet"
"""Readers of a folder of Parquet pass over what begins with an underscore."""
HASHED_AT_ONCE = 1000


class ListingHash:
    """SHA-256 over the names and sizes of pictures, in their order; counts them."""

    def __init__(self) -> None:
        self.digest, self.pictures = hashlib.sha256(), 0

    def add(self, found: Iterable[Listed]) -> None:
        for name, size in found:
            # No name has a zero byte in it.
            self.digest.update(f"{name}\0{size}\0".encode())
            self.pictures += 1

    def hexdigest(self) -> str:
        return self.digest.hexdigest()


def hash_names(names: Iterable[str]) -> str:
    """SHA-256, in hexadecimal, of what a part's pictures are called."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()


def batched(found: Iterable[Listed], count: int) -> Iterator[list[Listed]]:
    """Portions of `count`, the last one perhaps smaller."""
    rest = iter(found)
    while portion := list(islice(rest, count)):
        yield portion


def check_names(portion: list[Listed]) -> None:
    """Raise UserError for a name that is no text, which no Parquet file can hold."""
    for name, _ in portion:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"the name of picture {name!r} is not UTF-8; rename it") from None


def write_listing(found: Iterable[Listed], part_images: int) -> tuple[bytes, ListingHash]:
    """A listing in parts of `part_images` pictures, as a file's bytes, and its hash."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("image", pa.string()), ("bytes", pa.int64())])
    buffer, summary = io.BytesIO(), ListingHash()
    with parquet.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for portion in batched(found, part_images):
            check_names(portion)
            summary.add(portion)
            names, sizes = zip(*portion, strict=True)
            writer.write_table(pa.table([names, sizes], schema=schema), row_group_size=part_images)
    return buffer.getvalue(), summary


def hash_listing(found: Iterable[Listed]) -> ListingHash:
    """What `write_listing` would say of these pictures."""
    summary = ListingHash()
    for portion in batched(found, HASHED_AT_ONCE):
        check_names(portion)
        summary.add(portion)
    return summary


class ListingReader:
    """Reads parts of the listing in a folder; raises FileNotFoundError or StoreError where it cannot be read."""

    def __init__(self, output: Folder) -> None:
        from pyarrow import parquet

        self.stored = output.open(LISTING)
        self.file: Any = parquet.ParquetFile(self.stored)

    def close(self) -> None:
        self.file.close()
        self.stored.close()

    def read(self, part: int) -> list[Listed]:
        """The pictures of a part."""
        group = self.file.read_row_group(part).to_pydict()
        return [Listed(*pair) for pair in zip(group["image"], group["bytes"], strict=True)]
