"""On which photographs is an artifact proved and its scales found? Both go through the evaluation transform."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from rapidnet.config.export import ExportConfig
from rapidnet.data.bad_samples import BadSample
from rapidnet.data.builtin import BuiltinScenes, load_photographs
from rapidnet.data.labels import open_labels
from rapidnet.data.loading import ImageFolder, SizedDataset
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.errors import UserError
from rapidnet.evaluation.evaluate_trained import open_data
from rapidnet.evaluation.trained import Trained
from rapidnet.runtimes.network import Array

SPLIT_SETTINGS = ("root", "val_fraction", "seed", "holdout", "exclude", "group_regex")


@dataclass(frozen=True)
class Samples:
    """pixels: uint8 [N, 3, S, S]; targets: int64 [N] or float32 [N, num_classes], empty without labels; where from."""

    pixels: Array
    targets: Array
    origin: str

    @property
    def labelled(self) -> bool:
        return len(self.targets) > 0


def load_check_samples(trained: Trained, config: ExportConfig, console: Console) -> Samples:
    """Labelled validation images, or photographs that come with scikit-image where the network has no data of its own.

    Raises:
        UserError: data that is not there or does not fit; not one readable image.
    """
    if not config.data and not trained.metadata["data"]:
        crops = [trained.preprocessing(image).numpy() for image in load_photographs("val")]
        return Samples(np.stack(crops), np.empty(0), "scikit-image's photographs, without labels")
    dataset = open_data(trained, config.data, config.labels)
    origin = f"{config.data or trained.metadata['data']['root']}, validation images"
    return read_some(dataset, config.check_images, origin, console, "reading validation images")


def load_calibration_samples(trained: Trained, config: ExportConfig, console: Console) -> Samples:
    """Training images, drawn by a fixed seed: the same ones for every artifact.

    Raises:
        UserError: no training images are known, or some of those given are validation images.
    """
    made_from = trained.metadata["data"]
    size = trained.preprocessing.image_size
    text = "reading calibration images"
    if not config.calibration:
        if not made_from:
            raise UserError(f"{config.source} does not say what it was trained on; give training images: --calibration")
        if made_from["root"] == "builtin":
            scenes = BuiltinScenes("train", config.calibration_images, size)
            return read_some(scenes, config.calibration_images, "builtin, training images", console, text)
    settings = {name: made_from[name] for name in SPLIT_SETTINGS if name in made_from}
    several = trained.task == "multilabel"
    if several and config.calibration:
        raise UserError(
            f"--calibration {config.calibration} cannot be read for a network of several labels; leave it out"
        )
    train, val = None, None
    if made_from and made_from["root"] != "builtin":
        train, val = open_labels(made_from["labels"], **settings) if several else open_splits(**settings)
    if config.calibration:
        train = open_evaluation(config.calibration, trained.classes)
        held_out = [sample.path for sample in val.samples] if val is not None else []
        if config.data:
            held_out += [sample.path for sample in open_evaluation(config.data, trained.classes).samples]
        refuse_validation(config.calibration, [sample.path for sample in train.samples], held_out)
    assert train is not None
    origin = config.calibration or f"{made_from['root']}, training images"
    return read_some(
        ImageFolder(train, trained.preprocessing, seed=0), config.calibration_images, origin, console, text
    )


def refuse_validation(given: str, paths: Sequence[str], held_out: Sequence[str]) -> None:
    """Raises UserError if one of `paths` is a validation image, by its place or by its bytes."""
    places = {str(Path(path).resolve()) for path in held_out}
    sizes = {Path(path).stat().st_size for path in held_out if Path(path).is_file()}
    contents: set[str] | None = None
    for path in paths:
        found = str(Path(path).resolve()) in places
        if not found and Path(path).is_file() and Path(path).stat().st_size in sizes:
            contents = contents or {hash_file(other) for other in held_out if Path(other).is_file()}
            found = hash_file(path) in contents
        if found:
            raise UserError(
                f"--calibration {given} holds a validation image, {path}: scales found on it would flatter the "
                "accuracy; give training images"
            )


def hash_file(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_some(dataset: SizedDataset, count: int, origin: str, console: Console, text: str) -> Samples:
    """`count` images (0: all) drawn by a fixed seed, in the order of the data; unreadable ones are left out."""
    chosen = np.random.default_rng(0).permutation(len(dataset))[: count or len(dataset)]
    images, targets = [], []
    for index in track(sorted(chosen.tolist()), text, console=console, transient=True):
        item = dataset[(0, index)]
        if not isinstance(item, BadSample):
            images.append(item[0].numpy())
            targets.append(np.asarray(item[1]))
    if not images:
        raise UserError(f"none of the images of {origin} could be read; see rapidnet data audit")
    return Samples(np.stack(images), np.stack(targets), origin)
