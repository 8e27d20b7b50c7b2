"""What is measured: a trained run or an exported bundle, behind the same few functions? A bundle needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from rapidnet.config import Weights
from rapidnet.evaluation.subjects import VIEW, check_alike, open_exported
from rapidnet.images import prepare_image
from rapidnet.runtimes.network import Array

if TYPE_CHECKING:
    from rapidnet.evaluation.trained import Trained


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
    check_alike([(subject.name, subject.classes, subject.view) for subject in subjects])
    return subjects


def open_subject(name: str, weights: Weights) -> Subject:
    """Open one; raises UserError as `open_subjects`."""
    if not (found := open_exported(name, "robustness")):
        from rapidnet.robustness.trained_subject import open_run

        return open_run(name, weights)
    bundle, facts, made_from = found

    def score(pixels: Array) -> Array:
        return bundle.run(pixels)["logits"].astype(np.float32)

    view = {key: bundle.card["preprocessing"][key] for key in VIEW}
    has_logits = bundle.card["output"]["name"] == "logits"
    return Subject(name, bundle.classes, view, made_from, facts, bundle.predict, score if has_logits else None)


def describe_name(subject: Subject) -> str:
    """The last part of its path, for a narrow table."""
    return Path(subject.name).name or subject.name
