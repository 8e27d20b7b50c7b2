"""Under which names are copies of pictures saved? Their own, below the folder that holds them all."""

from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path

from rapidnet.errors import UserError


def find_root(paths: Sequence[Path]) -> Path:
    """The deepest folder that holds all the pictures."""
    return Path(commonpath([path.parent for path in paths]))


def name_pictures(paths: Sequence[Path]) -> list[Path]:
    """Of each picture its path below `find_root`, as a PNG.

    Raises:
        UserError: two pictures that would have the same name.
    """
    root, taken = find_root(paths), dict[Path, Path]()
    for path in paths:
        name = path.relative_to(root).with_suffix(".png")
        if name in taken:
            raise UserError(f"{taken[name]} and {path} would both be saved as {name}; rename one of them")
        taken[name] = path
    return list(taken)


def check_targets(folder: Path, names: Sequence[Path], paths: Sequence[Path]) -> None:
    """Raise UserError if files of these names in `folder` would overwrite one of the pictures, or one another."""
    taken = {path.resolve() for path in paths}
    for name in names:
        target = (folder / name).resolve()
        if target in taken:
            raise UserError(f"--save {folder} would overwrite {folder / name}; choose another folder")
        taken.add(target)
