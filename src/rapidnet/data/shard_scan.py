"""Which labelled images does a WebDataset tar without an index hold, and where? Only headers and labels are read."""

import json
import tarfile

from rapidnet.data.shard_index import Entry
from rapidnet.errors import UserError
from rapidnet.images import IMAGE_EXTENSIONS

MAX_LABEL_BYTES = 1_000_000
COMPRESSED = {b"\x1f\x8b\x08": "gzip", b"BZh91AY&SY": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def scan_shard(path: str, shown: str) -> list[Entry]:
    """Find the labelled images of a WebDataset tar, in its order, without an index.

    Args:
        path: the local file.
        shown: what messages call it.
    Raises:
        UserError: a compressed, truncated or damaged tar, an image without a label or the reverse, a key used twice.
    """
    images: dict[str, Entry] = {}
    labels: dict[str, str] = {}
    try:
        with open(path, "rb") as file:
            _refuse_compressed(file.read(10), shown)
        with tarfile.open(path, "r:") as tar:
            for info in tar:
                # Links, folders and sparse files hold no bytes that a range of the shard could be.
                if info.isreg() and not info.issparse():
                    _note_member(tar, info, shown, images, labels)
            end = tar.offset
        _refuse_cut(path, end, shown)
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"shard {shown} cannot be read ({error}); copy or write it again") from None
    for key, entry in images.items():
        if key not in labels:
            raise UserError(
                f"image {entry.member} of shard {shown} has no label; add {key}.cls with its class, or {key}.json with "
                "a 'label', to the shard"
            )
    lonely = next((key for key in labels if key not in images), None)
    if lonely is not None:
        known = ", ".join(sorted(IMAGE_EXTENSIONS))
        raise UserError(f"label {lonely} of shard {shown} has no image; add one, its name may end in {known}")
    return [entry._replace(label=labels[key]) for key, entry in images.items()]


def _note_member(
    tar: tarfile.TarFile, info: tarfile.TarInfo, shown: str, images: dict[str, Entry], labels: dict[str, str]
) -> None:
    folder, slash, name = info.name.rpartition("/")
    # WebDataset's rule: the key ends at the first dot of the file's name.
    stem, dot, ending = name.partition(".")
    key, ending = folder + slash + stem, dot + ending.lower()
    if not stem:
        return
    if ending in IMAGE_EXTENSIONS:
        if key in images:
            raise UserError(
                f"shard {shown} holds two images of the key {key}, {images[key].member} and {info.name}; "
                "give each a key of its own"
            )
        images[key] = Entry(info.name, info.offset_data, info.size, "")
    elif ending in (".cls", ".json"):
        member = tar.extractfile(info) if info.size <= MAX_LABEL_BYTES else None
        label = parse_label(member.read() if member else b"", ending, f"{info.name} of shard {shown}")
        # Metadata in .json may repeat the label in other words; .cls is the label and nothing else.
        if label is not None and (ending == ".cls" or key not in labels):
            labels[key] = label


def parse_label(data: bytes, ending: str, where: str) -> str | None:
    """The class that a .cls or .json member names, whole numbers as decimals; None for a .json without 'label'."""
    try:
        value = data.decode().strip()
        if ending == ".json":
            content = json.loads(value)
            if not isinstance(content, dict) or "label" not in content:
                return None
            value = content["label"]
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise ValueError("label is neither a whole number nor a name")
            value = str(value).strip()
        if not value or "\n" in value or value.startswith("-"):
            raise ValueError("no class is called that")
    except ValueError:
        raise UserError(f"label {where} is neither a class number from 0 nor a class name; mend it") from None
    return str(int(value)) if value.isdecimal() else value


def _refuse_compressed(magic: bytes, shown: str) -> None:
    for start, name in COMPRESSED.items():
        if magic.startswith(start):
            raise UserError(
                f"shard {shown} is compressed ({name}), so an image in its middle cannot be read by itself; "
                "unpack it to a plain .tar (images are compressed already)"
            )


def _refuse_cut(path: str, end: int, shown: str) -> None:
    # tarfile takes a damaged header, or the end of the file, for the end of the archive: the mark must really be there.
    with open(path, "rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise UserError(f"shard {shown} is truncated or damaged at byte {end}; copy or write it again")
