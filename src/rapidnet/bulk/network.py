"""Which network answers, what is it known by, and how does it reach a process that has no file of it?"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rapidnet.bulk.answerer import open_answerer
from rapidnet.config import PredictConfig
from rapidnet.evaluation.predict import refuse_weights
from rapidnet.runtimes.bundle import CARD, is_bundle, read_card


@dataclass(frozen=True)
class Facts:
    """What a network answers, and what it is known by."""

    identity: dict[str, Any]
    task: str
    classes: list[str]


@dataclass(frozen=True)
class Packed:
    """The files of a bundle, or the checkpoint of a run, by their paths below a folder."""

    name: str
    files: dict[str, bytes]


def describe_network(config: PredictConfig) -> Facts:
    """Read what a bundle's card or a run's checkpoint says; raises UserError as opening it."""
    if is_bundle(config.run):
        refuse_weights(config)
        card = read_card(config.run)
        identity = {"kind": "bundle", "name": Path(config.run).resolve().name, "sha256": card["card_sha256"]}
        return Facts(identity, card["task"], list(card["classes"]))
    path = find_checkpoint(config.run)
    # As a whole, so that a damaged one is refused here and not by every worker.
    opened = open_answerer(str(path), config.weights, config.threads)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    identity = {"kind": "run", "name": path.name, "sha256": digest, "weights": config.weights}
    return Facts(identity, opened.task, list(opened.classes))


def pack_network(run: str) -> Packed:
    """All that is needed to open a bundle or run elsewhere."""
    if is_bundle(run):
        names = [CARD, *read_card(run)["files"]]
        return Packed("bundle", {name: Path(run, name).read_bytes() for name in names})
    path = find_checkpoint(run)
    return Packed(path.name, {"": path.read_bytes()})


@contextmanager
def unpack_network(packed: Packed) -> Iterator[str]:
    """A path to open, which is gone afterwards: what is opened does not need it any more."""
    with TemporaryDirectory(prefix="rapidnet-", ignore_cleanup_errors=True) as folder:
        for name, data in packed.files.items():
            path = Path(folder, packed.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield str(Path(folder, packed.name))


def find_checkpoint(run: str) -> Path:
    from rapidnet.evaluation.trained import resolve_checkpoint

    return resolve_checkpoint(run)
