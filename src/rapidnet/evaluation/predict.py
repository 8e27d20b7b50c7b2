"""What is in these pictures? Class names and probabilities for a file, a folder or a pattern, as a stream."""

import glob
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from rapidnet.config import PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.annotate import annotate_image
from rapidnet.images import IMAGE_EXTENSIONS, BadImageError, load_image
from rapidnet.runtimes.bundle import Bundle, is_bundle, open_bundle
from rapidnet.runtimes.network import Array


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one picture, best first, with probabilities in [0, 1]; or why it could not be read.

    Where a picture may carry several labels, `answers` are all that are likely enough, perhaps none.
    """

    path: Path
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

    def prepare(self, image: str | Path) -> Array:
        """The file of a photograph -> uint8 [3, S, S]; raises BadImageError."""

    def predict(self, pixels: Array) -> Array:
        """uint8 RGB [B, 3, S, S] -> probabilities [B, num_classes]."""


def open_predictor(config: PredictConfig) -> Predictor:
    """A bundle in its own runtime, without torch; anything else as a trained network."""
    if is_bundle(config.run):
        bundle: Bundle = open_bundle(config.run)
        if config.weights != PredictConfig.weights:
            raise UserError(
                f"--weights has no effect on {config.run}, whose weights were chosen on export; leave it out"
            )
        return bundle
    from rapidnet.evaluation.trained_predictor import open_trained_predictor

    return open_trained_predictor(config.run, config.weights)


def run_predict(config: PredictConfig) -> int:
    """The predict command."""
    console = Console()
    notes = Console(stderr=True)
    predictor = open_predictor(config)
    check_options(config, predictor)
    paths = find_images(config.images)
    unreadable = 0
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # At a terminal, lines scroll above the bar. Where they go to a file, the bar must not catch them (rich would).
    at_terminal = console.is_terminal
    show_on = console if at_terminal else notes
    with Progress(
        *columns, console=show_on, transient=True, redirect_stdout=at_terminal, disable=len(paths) == 1
    ) as bar:
        for prediction in bar.track(
            predict_files(predictor, paths, config.top, config.batch_size, config.threshold), total=len(paths)
        ):
            if prediction.error:
                unreadable += 1
                if config.bad_samples == "error":
                    raise UserError(prediction.error)
                notes.print(prediction.error, style="yellow", markup=False, highlight=False)
            elif config.save:
                save_annotated(prediction, paths, Path(config.save))
            if config.json:
                print(json.dumps(prediction.to_dict()), flush=True)
            elif not prediction.error:
                show(prediction, console)
    if unreadable == len(paths):
        raise UserError(f"none of the {len(paths)} images in {config.images} could be read; see the lines above")
    if config.save:
        notes.print(f"{len(paths) - unreadable} pictures in [bold]{config.save}[/bold]")
    return 0


def check_options(config: PredictConfig, predictor: Predictor) -> None:
    """Refuse what the run's task makes no use of."""
    several = predictor.task == "multilabel"
    name, instead = ("top", "threshold") if several else ("threshold", "top")
    if getattr(config, name) != getattr(PredictConfig, name):
        carry = "several labels" if several else "one label"
        raise UserError(f"--{name} has no effect on {config.run}, whose images carry {carry}; use --{instead}")


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


def predict_files(
    predictor: Predictor, paths: Sequence[Path], top: int, batch_size: int, threshold: float = 0.5
) -> Iterator[Prediction]:
    """Predictions in the order of `paths`; at most two batches are in memory at a time.

    Each names the `top` likeliest classes or, where an image may carry several, those of at least `threshold`.
    """
    several = predictor.task == "multilabel"
    top, least = (len(predictor.classes), threshold) if several else (top, 0.0)

    def read(path: Path) -> Array | BadImageError:
        try:
            return predictor.prepare(path)
        except BadImageError as error:
            return error

    with ThreadPoolExecutor() as pool:
        ahead = None
        # One start past the end: an empty batch, after which the last one that is being read comes out.
        for start in range(0, len(paths) + batch_size, batch_size):
            reading = [(path, pool.submit(read, path)) for path in paths[start : start + batch_size]]
            if ahead is not None:
                items = [(path, future.result()) for path, future in ahead]
                yield from predict_batch(items, predictor, top, least)
            ahead = reading


def predict_batch(
    items: list[tuple[Path, Array | BadImageError]], predictor: Predictor, top: int, least: float = 0.0
) -> Iterator[Prediction]:
    """One forward pass over the readable images of a batch: at most `top` classes, of probability `least` or more."""
    images = [item for _, item in items if not isinstance(item, BadImageError)]
    rows = iter(predictor.predict(np.stack(images)) if images else np.empty((0, 0)))
    for path, item in items:
        if isinstance(item, BadImageError):
            yield Prediction(path, [], str(item))
            continue
        probabilities = next(rows)
        # Stable, so that among equals the first class comes first.
        best = np.argsort(-probabilities, kind="stable")[:top].tolist()
        answers = [(predictor.classes[index], float(probabilities[index])) for index in best]
        yield Prediction(path, [(name, p) for name, p in answers if p >= least])


def show(prediction: Prediction, console: Console) -> None:
    """One line for each picture."""
    answers = ", ".join(f"{escape(name)} {100 * share:.1f}%" for name, share in prediction.answers) or "none"
    console.print(f"{escape(str(prediction.path))}  [bold]{answers}[/bold]", highlight=False, soft_wrap=True)


def save_annotated(prediction: Prediction, paths: Sequence[Path], folder: Path) -> None:
    """Write the picture with its answers below its own relative path, so that equal names do not meet.

    Raises:
        UserError: that would overwrite the picture itself.
    """
    root = Path(commonpath([path.parent for path in paths]))
    target = folder / prediction.path.relative_to(root).with_suffix(".png")
    if target.resolve() == prediction.path.resolve():
        raise UserError(f"--save {folder} would overwrite {prediction.path}; choose another folder")
    lines = [f"{name}  {100 * share:.1f}%" for name, share in prediction.answers] or ["none"]
    picture: Image.Image = annotate_image(load_image(prediction.path), lines)
    target.parent.mkdir(parents=True, exist_ok=True)
    picture.save(target)
