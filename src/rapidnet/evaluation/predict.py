"""What is in these pictures? Class names and probabilities for a file, a folder or a pattern, as a stream."""

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from rich.markup import escape

from rapidnet.config import PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.annotate import annotate_image
from rapidnet.evaluation.dense_predictor import is_dense, open_dense_predictor
from rapidnet.evaluation.picture_names import find_root
from rapidnet.evaluation.picture_stream import PictureStream
from rapidnet.evaluation.read_ahead import Fetch, Name, as_it_is, read_batches
from rapidnet.images import IMAGE_EXTENSIONS, BadImageError, Source, load_image
from rapidnet.runtimes.bundle import is_bundle, open_bundle
from rapidnet.runtimes.network import Array

BATCH = 32
"""Images in one forward pass unless one asks otherwise."""


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one picture, best first, with probabilities in [0, 1]; or why it could not be read.

    Where a picture may carry several labels, `answers` are all that are likely enough, perhaps none.
    """

    path: Name
    answers: list[tuple[str, float]]
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        if self.error:
            return {"image": str(self.path), "error": self.error}
        answers = [{"class": name, "probability": round(probability, 6)} for name, probability in self.answers]
        return {"image": str(self.path), "predictions": answers}


class Predictor(Protocol):
    """Whatever names what is in pictures: a trained network or an exported bundle."""

    @property
    def classes(self) -> list[str]: ...

    @property
    def task(self) -> str: ...

    def prepare(self, image: Source) -> Array:
        """The file of a photograph -> uint8 [3, S, S]; raises BadImageError."""

    def predict(self, pixels: Array) -> Array:
        """uint8 RGB [B, 3, S, S] -> probabilities [B, num_classes]."""


CARRIES = {
    "classification": ("top", "whose images carry one label"),
    "multilabel": ("threshold", "whose images carry several labels"),
    "detect": ("threshold", "which finds objects"),
    "instance": ("threshold", "which finds objects"),
    "semantic": ("", "which names every pixel"),
}
"""Task -> which of the options top and threshold has an effect on it, and why the others have none."""


def find_images(where: str) -> list[Path]:
    """The image named, those below the folder named, or those that match the pattern; sorted.

    Raises:
        UserError: nothing there.
    """
    path = Path(where)
    if path.is_file():
        return [path]
    candidates = path.rglob("*") if path.is_dir() else map(Path, glob.glob(where, recursive=True))
    found = sorted(p for p in candidates if p.suffix.lower() in IMAGE_EXTENSIONS and not p.name.startswith("."))
    if not found:
        raise UserError(f"there is no image at '{where}'; give an image, a folder of images or a quoted pattern")
    return found


def run_predict(
    config: PredictConfig, find: Callable[[str], Sequence[Name]] = find_images, fetch: Fetch = as_it_is
) -> int:
    """The predict command, whose answers are printed. Pictures that are no files are found and fetched as given."""
    bundle = None
    if is_bundle(config.run):
        refuse_weights(config)
        bundle = open_bundle(config.run)
    if is_dense(bundle or config.run):
        from rapidnet.evaluation.predict_dense import predict_dense

        dense = open_dense_predictor(bundle or config.run, config.weights)
        check_options(config, dense.task)
        return predict_dense(config, dense, find(config.images), fetch)
    predictor = bundle or open_trained(config)
    check_options(config, predictor.task)
    return predict_classes(config, predictor, find(config.images), fetch)


def refuse_weights(config: PredictConfig) -> None:
    """Raise UserError for weights that a bundle has no choice of."""
    if config.weights != PredictConfig.weights:
        raise UserError(f"--weights has no effect on {config.run}, whose weights were chosen on export; leave it out")


def open_trained(config: PredictConfig) -> Predictor:
    """A classifier's run folder or checkpoint."""
    from rapidnet.evaluation.trained_predictor import open_trained_predictor

    return open_trained_predictor(config.run, config.weights)


def predict_classes(config: PredictConfig, predictor: Predictor, paths: Sequence[Name], fetch: Fetch = as_it_is) -> int:
    """Name what is in each picture, one line for each; raises UserError as the policy for unreadable ones wants."""
    stream = PictureStream(config, paths)
    batch_size = config.batch_size or BATCH
    predictions = predict_files(predictor, paths, config.top, batch_size, config.threshold, fetch)
    for prediction in stream.track(predictions):
        if stream.passes_over(prediction.error):
            stream.print_json(prediction.to_dict())
            continue
        if config.save:
            save_annotated(prediction, paths, Path(config.save))
        stream.show(prediction.to_dict(), describe(prediction))
    stream.finish()
    return 0


def check_options(config: PredictConfig, task: str) -> None:
    """Refuse what the run's task makes no use of."""
    used, why = CARRIES[task]
    for name in ("top", "threshold"):
        if name != used and getattr(config, name) != getattr(PredictConfig, name):
            instead = f"use --{used}" if used else "leave it out"
            raise UserError(f"--{name} has no effect on {config.run}, {why}; {instead}")


def predict_files(
    predictor: Predictor, paths: Sequence[Name], top: int, batch_size: int, threshold: float = 0.5,
    fetch: Fetch = as_it_is,
) -> Iterator[Prediction]:  # fmt: skip
    """Predictions in the order of `paths`; at most two batches are in memory at a time.

    Each names the `top` likeliest classes or, where an image may carry several, those of at least `threshold`.
    """
    several = predictor.task == "multilabel"
    top, least = (len(predictor.classes), threshold) if several else (top, 0.0)

    def read(index: int) -> tuple[Name, Array | BadImageError]:
        try:
            return paths[index], predictor.prepare(fetch(paths[index]))
        except BadImageError as error:
            return paths[index], error

    for items in read_batches(read, len(paths), batch_size):
        yield from predict_batch(items, predictor, top, least)


def predict_batch(
    items: list[tuple[Name, Array | BadImageError]], predictor: Predictor, top: int, least: float = 0.0
) -> Iterator[Prediction]:
    """One forward pass over the readable images of a batch: at most `top` classes, of probability `least` or more."""
    images = [item for _, item in items if not isinstance(item, BadImageError)]
    rows = iter(predictor.predict(np.stack(images)) if images else np.empty((0, 0)))
    for path, item in items:
        if isinstance(item, BadImageError):
            yield Prediction(path, [], str(item))
            continue
        yield Prediction(path, rank_classes(next(rows), predictor.classes, top, least))


def rank_classes(probabilities: Array, classes: Sequence[str], top: int, least: float = 0.0) -> list[tuple[str, float]]:
    """The `top` likeliest classes, best first, that have at least the probability `least`."""
    # Stable, so that among equals the first class comes first.
    best = np.argsort(-probabilities, kind="stable")[:top].tolist()
    answers = [(classes[index], float(probabilities[index])) for index in best]
    return [(name, p) for name, p in answers if p >= least]


def describe(prediction: Prediction) -> str:
    """The answers in a line."""
    return ", ".join(f"{escape(name)} {100 * share:.1f}%" for name, share in prediction.answers) or "none"


def save_annotated(prediction: Prediction, paths: Sequence[Name], folder: Path) -> None:
    """Write the picture with its answers below its own relative path, so that equal names do not meet.

    Raises:
        UserError: that would overwrite the picture itself.
    """
    path = Path(prediction.path)
    target = folder / path.relative_to(find_root([Path(one) for one in paths])).with_suffix(".png")
    if target.resolve() == path.resolve():
        raise UserError(f"--save {folder} would overwrite {prediction.path}; choose another folder")
    lines = [f"{name}  {100 * share:.1f}%" for name, share in prediction.answers] or ["none"]
    picture: Image.Image = annotate_image(load_image(path), lines)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target)
