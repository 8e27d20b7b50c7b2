"""What does index.json say about the shards beside it, and does it agree with itself?"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rapidnet.errors import UserError

INDEX, UNFINISHED = "index.json", "UNFINISHED"
"""Beside the shards: their index, written last; and what marks them until it is written."""
FORMAT, VERSION = "rapidnet-shards", 1
COLUMNS = ("member", "offset", "size", "label", "original")


class Entry(NamedTuple):
    """One image of a shard: the member's name, where its bytes are, its class, the file it was made from (or '')."""

    member: str
    offset: int
    size: int
    label: str
    original: str = ""


class ShardRecord(NamedTuple):
    """One shard: file name, size in bytes, sha256 ('' if unknown) and its images."""

    name: str
    size: int
    sha256: str
    entries: list[Entry]


class Index(NamedTuple):
    """The classes in the order of their labels, and the shards."""

    classes: list[str]
    shards: list[ShardRecord]


def render_index(index: Index) -> str:
    """index.json: format, version, classes, and of each shard name, size, sha256 and a row for each image."""
    label = {name: i for i, name in enumerate(index.classes)}
    shards = [
        {**shard._asdict(), "entries": [entry._replace(label=label[entry.label]) for entry in shard.entries]}  # type: ignore[arg-type]
        for shard in index.shards
    ]
    head = {"format": FORMAT, "version": VERSION, "classes": index.classes, "columns": COLUMNS}
    return json.dumps({**head, "shards": shards})


def is_index(path: Path) -> bool:
    """Whether a file calls itself an index of shards; other tools write an index.json too."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(100)


def parse_index(text: str | bytes, where: str) -> Index:
    """Read an index and check that every image lies within its shard.

    Raises:
        UserError: not an index, one of a later version, or one that contradicts itself.
    """
    try:
        values = json.loads(text)
        if values["format"] != FORMAT or values["version"] != VERSION:
            raise UserError(
                f"{where} has format {values['format']} {values['version']}, not {FORMAT} {VERSION}; update rapidnet"
            )
        classes = [str(name) for name in values["classes"]]
        return Index(classes, [_parse_shard(shard, classes) for shard in values["shards"]])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise UserError(
            f"{where} is no index of shards ({type(error).__name__}: {why}); write the shards again"
        ) from None


def _parse_shard(shard: dict[str, Any], classes: list[str]) -> ShardRecord:
    name, size = shard["name"], shard["size"]
    if Path(name).name != name:
        raise ValueError(f"shard {name} lies in another folder")
    entries = []
    for member, offset, length, label, original in shard["entries"]:
        if not (0 <= offset <= offset + length <= size and 0 <= label < len(classes)):
            raise ValueError(f"{member} lies outside its shard {name} or the classes")
        entries.append(Entry(member, offset, length, classes[label], original))
    return ShardRecord(name, size, shard["sha256"], entries)
