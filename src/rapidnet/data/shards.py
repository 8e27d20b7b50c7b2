"""Which labelled images do tar shards hold?

Why not through webdataset's loader: it streams. The order then depends on the number of workers, a run cannot be
resumed in the middle of an epoch, and processes with shards of unequal length wait for each other for ever. An index
of offsets makes any tar as good as a folder: samples by number, so that the sampler, exact resume and the bad-sample
policy are the same for both. What `rapidnet data shard` writes is still WebDataset, for every other tool.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from rapidnet.data.folder import Sample, Split, order_classes
from rapidnet.data.shard_cache import is_local, localize, open_store
from rapidnet.data.shard_fetch import Member, ShardFetcher
from rapidnet.data.shard_index import Index, ShardRecord
from rapidnet.data.shard_listing import TAR_NAME, list_folder, list_pattern, shard_name
from rapidnet.data.shard_scan import scan_shard
from rapidnet.errors import UserError

Exclusion = Callable[[Path], bool]
LazySplit = Callable[[], Split]
"""A split that is fetched and looked into when it is called: an evaluation needs no training shards."""
DOWNLOADS = 4


def read_shards(data: str, excluded: Exclusion | None) -> tuple[LazySplit, LazySplit | None]:
    """The training and validation images of shards; nothing but the index is read before a split is asked for.

    Args:
        data: a folder or URL that holds shards, or a pattern of shards with braces or wildcards.
        excluded: whether to leave out a path: SHARD/MEMBER, or the file that the member was made from.
    Raises:
        UserError: (here or when a split is asked for) shards that are missing, damaged, unfinished or without labels.
    """
    data = data.removeprefix("file://")
    store = open_store(data)
    if (is_local(store) and Path(data).is_dir()) or not TAR_NAME.search(data):
        urls, index = list_folder(store, data.rstrip("/"))
    else:
        urls, index = list_pattern(store, data)
    if not urls:
        raise UserError(f"--data {data} holds no shards (*.tar); write them with rapidnet data shard")

    def split(name: str, prefix: str) -> LazySplit | None:
        chosen = [url for url in urls if shard_name(url).startswith(prefix)]
        return partial(build_split, name, data, store, chosen, index, excluded) if chosen else None

    # As with folders: train- and val- are splits if there is a train-, and otherwise all is one pool.
    train = split("train", "train")
    if train is None:
        return partial(build_split, "train", data, store, urls, index, excluded), None
    return train, split("val", "val")


def fetch_shards(store: Any, urls: list[str], records: dict[str, ShardRecord]) -> list[str]:
    """The shards' local paths, fetched before any worker is started: a failure then costs no training."""

    def fetch(url: str) -> str:
        record = records.get(shard_name(url))
        return localize(store, url, record.size if record else None, record.sha256 if record else "")

    if is_local(store):
        return [fetch(url) for url in urls]
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        fetched = pool.map(fetch, urls)
        return list(track(fetched, "fetching shards", len(urls), console=Console(stderr=True), transient=True))


def build_split(
    name: str, data: str, store: Any, urls: list[str], index: Index | None, excluded: Exclusion | None
) -> Split:
    """Fetch the shards of one split, look into them and make its samples.

    With an index the samples are in the order of the folder that they were made from, so that a run on shards is the
    run on that folder; without one, in the order of the shards.
    """
    records = {record.name: record for record in index.shards} if index else {}
    paths = fetch_shards(store, urls, records)
    listed = [
        records[shard_name(url)].entries if index else scan_shard(path, url)
        for url, path in zip(urls, paths, strict=True)
    ]
    classes = index.classes if index else order_classes(entry.label for entries in listed for entry in entries)
    label = {class_name: i for i, class_name in enumerate(classes)}
    samples: list[tuple[str, Sample]] = []
    left_out = 0
    for url, path, entries in zip(urls, paths, listed, strict=True):
        for entry in entries:
            shown = f"{url}/{entry.member}"
            if excluded and (excluded(Path(shown)) or (entry.original and excluded(Path(entry.original)))):
                left_out += 1
            else:
                samples.append((entry.member, Member(shown, label[entry.label], path, entry.offset, entry.size)))
    if not samples:
        remedy = "exclude fewer" if left_out else "mend --data"
        raise UserError(f"the {name} shards of {data} hold no labelled images to use; {remedy}")
    if index:
        samples.sort(key=lambda pair: pair[0])
    return Split(name, classes, [sample for _, sample in samples], left_out, ShardFetcher())
