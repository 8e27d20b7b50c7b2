"""How is a bundle written, so that nothing unproven or half-written ever has its name?"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import CARD, compute_card_hash, compute_file_hash, is_bundle

LABELS = "labels.txt"


@contextmanager
def temporary_bundle(target: Path) -> Iterator[Path]:
    """A folder beside `target` that is removed in the end, unless `finish_bundle` gave it its name.

    Raises:
        UserError: `target` is something else than an earlier bundle, which would be lost.
    """
    if target.exists() and not is_bundle(target):
        raise UserError(f"{target} exists and is no bundle; move it away or choose another --output")
    folder = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish_bundle(folder: Path, target: Path, card: dict[str, Any]) -> None:
    """Write labels and card, force all of it to the disk, and give it its name in place of an earlier bundle."""
    (folder / LABELS).write_text("".join(f"{name}\n" for name in card["classes"]), encoding="utf-8")
    card["files"] = hash_files(folder)
    card["card_sha256"] = compute_card_hash(card)
    (folder / CARD).write_text(dump(card), encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    target.with_name(target.name + ".rejected").unlink(missing_ok=True)
    before = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        os.replace(target, before)
    os.replace(folder, target)
    shutil.rmtree(before, ignore_errors=True)


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 by path of every file but the card, as forward-slashed paths within the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD)
    return {path.relative_to(folder).as_posix(): compute_file_hash(path) for path in paths}


def dump(card: dict[str, Any]) -> str:
    return json.dumps(card, indent=1, ensure_ascii=False) + "\n"
