"""What is behind --data: a folder of classes, tar shards or a Hugging Face dataset?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rapidnet.data import folder
from rapidnet.data.folder import Split
from rapidnet.data.hf_datasets import HF_PREFIX, read_hf
from rapidnet.data.shard_index import INDEX, UNFINISHED, is_index
from rapidnet.data.shard_listing import SHARD_NAME, TAR_NAME
from rapidnet.data.shards import Exclusion, LazySplit, read_shards
from rapidnet.errors import UserError

Reader = Callable[[str, Exclusion | None], tuple[LazySplit, LazySplit | None]]
"""(--data, which paths to leave out) -> training images and, where the data has its own, validation images."""


def open_splits(
    root: str | Path, val_fraction: float, seed: int, holdout: bool = False, exclude: str = "", group_regex: str = ""
) -> tuple[Split, Split]:
    """Return (train, val) of anything that --data may be; the arguments are those of `folder.open_splits`.

    Raises:
        UserError: data that is not there, damaged, without labels, or cannot be split as asked.
    """
    read = find_reader(root)
    if read is None:
        return folder.open_splits(root, val_fraction, seed, holdout, exclude, group_regex)
    open_train, open_val = read(str(root), folder.build_exclusion(exclude) if exclude else None)
    train = open_train()
    present = {sample.label for sample in train.samples}
    for label, class_name in enumerate(train.classes):
        if label not in present:
            remedy = "exclude fewer" if train.left_out else "add some or take the class out"
            raise UserError(f"class '{class_name}' of {root} has no training images; {remedy}")
    val = None if holdout or open_val is None else open_val()
    return folder.divide(train, val, root, val_fraction, seed, exclude, group_regex)


def open_evaluation(root: str | Path, classes: list[str]) -> Split:
    """The images to evaluate on: those for validation where the data has its own, else all; labels follow `classes`."""
    read = find_reader(root)
    if read is None:
        return folder.open_evaluation(root, classes)
    open_train, open_val = read(str(root), None)
    return folder.align_classes(replace((open_val or open_train)(), name="val"), classes)


def find_reader(root: str | Path) -> Reader | None:
    """What reads `root`; None for a folder of images, which `folder` opens (or refuses)."""
    if str(root).startswith(HF_PREFIX):
        return read_hf
    if "://" in str(root):
        return read_shards
    path = Path(root)
    if not path.is_dir():
        return read_shards if TAR_NAME.search(str(root)) else None
    if (path / UNFINISHED).is_file() or is_index(path / INDEX):
        return read_shards
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    # A tar that lies beside class folders is most likely what they were unpacked from.
    tars = any(SHARD_NAME.search(entry.name) for entry in entries) and not any(entry.is_dir() for entry in entries)
    return read_shards if tars else None
