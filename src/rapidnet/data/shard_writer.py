"""How does a folder of images become tar shards that train as the folder does, wherever they are put?"""

import hashlib
import io
import re
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from rapidnet.config import ShardConfig
from rapidnet.data.folder import Sample, Split
from rapidnet.data.shard_cache import is_local
from rapidnet.data.shard_index import Entry, Index, ShardRecord, render_index
from rapidnet.data.shard_target import Target
from rapidnet.data.sources import open_splits
from rapidnet.errors import UserError
from rapidnet.images import FORMATS, IMAGE_EXTENSIONS, OPENABLE, EncodedImage

NAME_LENGTH = 60
"""Characters of a file's name that its member keeps, so that every header is one plain block."""


def run_shard(config: ShardConfig) -> int:
    """The data shard command."""
    console = Console()
    index = write_shards(config, console)
    images = sum(len(shard.entries) for shard in index.shards)
    console.print(
        f"{images} images of {len(index.classes)} classes in {len(index.shards)} shards in "
        f"[bold]{config.output}[/bold]; rapidnet train --data {config.output} trains on them"
    )
    return 0


def write_shards(config: ShardConfig, console: Console) -> Index:
    """Write train-*.tar, val-*.tar and then index.json; the same images, options and seed give the same bytes.

    Raises:
        UserError: data that cannot be opened, an output that is not empty or cannot be written, a file gone meanwhile.
    """
    target = Target(config.output)
    if is_local(target.store) and Path(config.output).resolve().is_relative_to(Path(config.data).resolve()):
        raise UserError(f"--output {config.output} lies inside {config.data}, which is only read; choose another")
    splits = open_splits(config.data, config.val_fraction, config.seed, exclude=config.exclude)
    target.begin()
    shards: list[ShardRecord] = []
    first_key = 0
    for split in splits:
        shards += write_split(split, target, config, first_key, console)
        first_key += len(split.samples)
    index = Index(splits[0].classes, shards)
    target.finish(render_index(index))
    return index


def write_split(
    split: Split, target: Target, config: ShardConfig, first_key: int, console: Console
) -> list[ShardRecord]:
    """The shards of one split: its images in a seeded order, so that each shard holds all classes."""
    order = np.random.default_rng([config.seed, first_key]).permutation(len(split.samples))
    positions = iter(track(order.tolist(), f"{split.name} shards", console=console, transient=True))
    shards: list[ShardRecord] = []
    position = next(positions, None)
    while position is not None:
        name = f"{split.name}-{len(shards):06d}.tar"
        entries: list[Entry] = []
        with target.stage(name) as path:
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                while position is not None and not _full(tar.offset, len(entries), config):
                    sample = split.samples[position]
                    # The number is the image's place in the folder's order: what is read back is sorted by it.
                    entries.append(add_image(tar, split, sample, f"{first_key + position:08d}", config.data))
                    position = next(positions, None)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            shards.append(ShardRecord(name, path.stat().st_size, digest, entries))
    return shards


def add_image(tar: tarfile.TarFile, split: Split, sample: Sample, number: str, root: str) -> Entry:
    """Append KEY.<ending> with the image's own bytes and KEY.cls with its label."""
    source = split.fetch(sample)
    try:
        data = source.data if isinstance(source, EncodedImage) else Path(source).read_bytes()
    except OSError as error:
        raise UserError(
            f"image {source} cannot be read ({error.strerror}); mend it or leave it out with --exclude"
        ) from None
    key = "-".join([number, re.sub(r"[^A-Za-z0-9_-]+", "_", Path(sample.path).stem)[:NAME_LENGTH]])
    member = key + (choose_ending(sample.path, data))
    offset = tar.offset + tarfile.BLOCKSIZE
    for name, content in ((member, data), (f"{key}.cls", str(sample.label).encode())):
        # A fresh TarInfo has no owner and the time 0: nothing of this machine gets into the shard.
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    path = Path(sample.path)
    original = path.relative_to(root).as_posix() if path.is_relative_to(root) else sample.path
    return Entry(member, offset, len(data), split.classes[sample.labels[0]], original)


def choose_ending(path: str, data: bytes) -> str:
    """The file's own ending, else the one of its format: a row of a dataset need not have a file name."""
    ending = Path(path).suffix.lower()
    if ending in IMAGE_EXTENSIONS:
        return ending
    try:
        with Image.open(io.BytesIO(data), formats=OPENABLE) as image:
            return FORMATS[image.format or "JPEG"][0]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # Broken as it is, it stays what --bad-samples decides on.
        return ".jpg"


def _full(size: int, images: int, config: ShardConfig) -> bool:
    if config.images_per_shard:
        return images >= config.images_per_shard
    return size >= config.shard_size_mb * 1_000_000
