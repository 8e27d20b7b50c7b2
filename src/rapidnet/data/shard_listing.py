"""Which shards does a folder, a URL or a pattern stand for, and is there an index of them?"""

import glob
import re
from typing import Any

from braceexpand import braceexpand

from rapidnet.data.shard_cache import is_local, one_line, read_optional
from rapidnet.data.shard_index import INDEX, UNFINISHED, Index, parse_index
from rapidnet.errors import UserError

TAR_NAME = re.compile(r"\.(tar|tgz)\b", re.IGNORECASE)
"""What a pattern of shards has in it."""
SHARD_NAME = re.compile(r"\.(tar|tgz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
"""How a shard's name ends; compressed ones are found in order to be refused."""


def list_folder(store: Any, folder: str) -> tuple[list[str], Index | None]:
    """The shards in a folder, from its index if it has one; HTTP servers need not list their files then."""
    index = read_index(store, folder)
    if index is None:
        refuse_unfinished(store, folder)
        return [url for url in find_shards(store, f"{folder}/*") if SHARD_NAME.search(url)], None
    if is_local(store):
        refuse_unlisted(index, folder, find_shards(store, f"{folder}/*.tar"))
    return [f"{folder}/{record.name}" for record in index.shards], index


def list_pattern(store: Any, pattern: str) -> tuple[list[str], Index | None]:
    """The shards of a pattern, with the index beside them, which knows the names of their classes."""
    urls = expand_pattern(store, pattern)
    folders = {url.rpartition("/")[0] or "." for url in urls}
    index = read_index(store, next(iter(folders))) if len(folders) == 1 else None
    for folder in folders:
        if index is None:
            refuse_unfinished(store, folder)
        else:
            refuse_unlisted(index, folder, urls)
    return urls, index


def expand_pattern(store: Any, pattern: str) -> list[str]:
    """The shards that a pattern stands for: braces name every one, wildcards find what is there."""
    try:
        names = list(braceexpand(pattern))
    except ValueError as error:
        raise UserError(
            f"--data {pattern} has unbalanced braces ({error}); write it like train-{{000000..000009}}.tar"
        ) from None
    urls = []
    for name in names:
        # A question mark in a URL begins its query.
        wild = glob.has_magic(name) if is_local(store) else "*" in name
        found = find_shards(store, name) if wild else [name]
        if not found:
            raise UserError(f"--data {name} matches no shard; mend the pattern")
        urls += found
    return list(dict.fromkeys(urls))


def find_shards(store: Any, pattern: str) -> list[str]:
    """What a wildcard finds, sorted; [] where a store cannot be listed."""
    if is_local(store):
        return sorted(glob.glob(pattern))
    try:
        return sorted(store.unstrip_protocol(path) for path in store.glob(pattern))
    except FileNotFoundError:
        return []
    except Exception as error:
        raise UserError(f"--data {pattern} cannot be listed: {one_line(error)}; check the address") from None


def read_index(store: Any, folder: str) -> Index | None:
    content = read_optional(store, f"{folder}/{INDEX}")
    return None if content is None else parse_index(content, f"{folder}/{INDEX}")


def refuse_unlisted(index: Index, folder: str, urls: list[str]) -> None:
    listed = {record.name for record in index.shards}
    for url in urls:
        if shard_name(url) not in listed:
            where = f"{folder}/{INDEX}"
            raise UserError(f"shard {url} is not in {where}; move it to another folder, or write the shards again")


def refuse_unfinished(store: Any, folder: str) -> None:
    if read_optional(store, f"{folder}/{UNFINISHED}") is not None:
        raise UserError(f"the shards in {folder} were never finished; delete them and run rapidnet data shard again")


def shard_name(url: str) -> str:
    return url.rsplit("/", 1)[-1]
