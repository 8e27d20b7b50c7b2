"""Which pictures does a folder, a pattern or a URL stand for, in an order that is the same in every process?

A folder's names are sorted and those below it come in their place, as pathlib sorts paths; so no more than the names of
one folder (and of those above it) are in memory at once.
"""

import glob
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rapidnet.bulk.folders import Folder, is_url, open_folder
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import find_images
from rapidnet.images import IMAGE_EXTENSIONS


class Listed(NamedTuple):
    """A picture by its name below a folder, and its bytes (-1 where the store does not say)."""

    name: str
    size: int


@dataclass(frozen=True)
class Pictures:
    """root: the folder that holds them all, as any process opens it; shown: what stands before a name in answers."""

    root: str
    shown: str
    list: Callable[[], Iterator[Listed]]


def find_pictures(where: str) -> Pictures:
    """What is meant by the command's word for pictures; they are listed later, and once for every call.

    Raises:
        UserError: as opening the folder.
    """
    place = where.removeprefix("file://")
    if is_url(place):
        return find_stored(place)
    path = Path(place)
    if path.is_dir():
        root = open_folder(place)
        return Pictures(root.url, show(path), lambda: walk(root))
    parent = path.parent if path.is_file() or not glob.has_magic(place) else find_fixed(path)
    root = open_folder(str(parent))

    def match() -> Iterator[Listed]:
        for found in find_images(place):
            yield Listed(found.relative_to(parent).as_posix(), found.stat().st_size if found.exists() else -1)

    return Pictures(root.url, show(parent), match)


def find_stored(url: str) -> Pictures:
    """The pictures of a URL: one, those below a folder, or those of a pattern with stars."""
    url = url.rstrip("/")
    if "*" in url:
        return find_matching(url)
    parent, _, name = url.rpartition("/")
    if is_picture(name) and not parent.endswith("/"):
        folder = open_folder(parent)
        if folder.is_file(name):
            return Pictures(parent, f"{parent}/", lambda: iter([Listed(name, -1)]))
    folder = open_folder(url)
    return Pictures(url, f"{url}/", lambda: walk(folder))


def find_matching(url: str) -> Pictures:
    """The pictures below the folder before the first star whose names match the rest; two stars stand for any depth."""
    from fsspec.utils import glob_translate

    fixed, _, _ = url.partition("*")
    root = fixed.rpartition("/")[0]
    pattern = url[len(root) + 1 :]
    try:
        matches = re.compile(glob_translate(pattern)).match
    except ValueError:
        raise UserError(f"{url} has two stars beside other letters; write them alone, as in {root}/**/*.jpg") from None
    depth = -1 if "**" in pattern else pattern.count("/")
    folder = open_folder(root)
    return Pictures(root, f"{root}/", lambda: (found for found in walk(folder, depth=depth) if matches(found.name)))


def walk(folder: Folder, below: str = "", depth: int = -1) -> Iterator[Listed]:
    """Every picture below a folder, at most `depth` folders down unless that is negative; raises StoreError."""
    for entry in sorted(folder.scan(below)):
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_folder:
            if depth != 0:
                yield from walk(folder, name, depth - 1)
        elif is_picture(entry.name):
            yield Listed(name, entry.size)


def is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS and not name.startswith(".")


def find_fixed(pattern: Path) -> Path:
    """The deepest folder that all matches of a pattern lie in."""
    parts = pattern.parts
    return Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])


def show(folder: Path) -> str:
    """What predict prints before a name in this folder."""
    text = folder.as_posix()
    return "" if text == "." else f"{text.rstrip('/')}/"
