"""What is measured: a trained run or an exported bundle, behind the same few functions? A bundle needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from PIL import Image

from rapidnet.config import Weights
from rapidnet.errors import UserError
from rapidnet.evaluation.dense_predictor import is_dense
from rapidnet.images import prepare_image
from rapidnet.runtimes.bundle import is_bundle, open_bundle
from rapidnet.runtimes.network import Array

if TYPE_CHECKING:
    from rapidnet.evaluation.trained import Trained

VIEW = ("image_size", "crop_pct", "interpolation")
"""What decides which pixels a network gets; subjects measured together must agree in it."""


@dataclass(frozen=True)
class Subject:
    """A classifier, however it is run.

    name: as it was given. view: image_size, crop_pct, interpolation. made_from: what its training says of its data.
    facts: model, weights, runtime, precision, for the row.
    predict: uint8 RGB [B, 3, S, S] -> probabilities [B, C]; score: the same -> logits, None where it gives none.
    trained: the network itself, of a run.
    """

    name: str
    classes: list[str]
    view: dict[str, Any]
    made_from: dict[str, Any]
    facts: dict[str, Any]
    predict: Callable[[Array], Array]
    score: Callable[[Array], Array] | None = None
    trained: "Trained | None" = None

    @property
    def size(self) -> int:
        return int(self.view["image_size"])

    def prepare(self, image: Image.Image) -> Array:
        """A photograph -> uint8 [3, S, S]."""
        return prepare_image(image, self.view["image_size"], self.view["crop_pct"], self.view["interpolation"])


def open_subjects(names: list[str], weights: Weights) -> list[Subject]:
    """Open all of them.

    Raises:
        UserError: one that is not there or no classifier; subjects that do not see the same pixels or classes.
    """
    subjects = [open_subject(name, weights) for name in names]
    first = subjects[0]
    for other in subjects[1:]:
        if other.classes != first.classes:
            raise UserError(f"{other.name} has other classes than {first.name}; measure them one at a time")
        for key in VIEW:
            if other.view[key] != first.view[key]:
                raise UserError(
                    f"{other.name} has {key} {other.view[key]} and {first.name} {first.view[key]}, so that they would "
                    "see different pixels; measure them one at a time"
                )
    return subjects


def open_subject(name: str, weights: Weights) -> Subject:
    """Open one; raises UserError as `open_subjects`."""
    if is_bundle(name):
        return open_exported(name)
    if is_dense(name):
        refuse_task(name, "detection or segmentation")
    from rapidnet.robustness.trained_subject import open_run

    return open_run(name, weights)


def refuse_task(name: str, task: str) -> NoReturn:
    raise UserError(f"{name} is of task {task}, and robustness is measured for classification only; give another one")


def open_exported(name: str) -> Subject:
    """A bundle in its own runtime."""
    bundle = open_bundle(name)
    card = bundle.card
    if bundle.task != "classification":
        refuse_task(name, bundle.task)
    facts = {
        "kind": "bundle", "model": card["model"], "weights": card["provenance"]["weights"],
        "format": card["format"], "precision": card["precision"], "runtime": bundle.network.runtime,
    }  # fmt: skip

    def score(pixels: Array) -> Array:
        return bundle.run(pixels)["logits"].astype(np.float32)

    view = {key: card["preprocessing"][key] for key in VIEW}
    made_from = card["provenance"].get("training_data") or {}
    has_logits = card["output"]["name"] == "logits"
    return Subject(name, bundle.classes, view, made_from, facts, bundle.predict, score if has_logits else None)


def describe_name(subject: Subject) -> str:
    """The last part of its path, for a narrow table."""
    return Path(subject.name).name or subject.name
