"""Which of the command's words are networks, which images, and how are networks opened? Bundles need no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rapidnet.config import Weights
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import Predictor, find_images
from rapidnet.evaluation.subjects import open_exported
from rapidnet.images import IMAGE_EXTENSIONS
from rapidnet.runtimes.bundle import is_bundle
from rapidnet.runtimes.network import Array

if TYPE_CHECKING:
    from rapidnet.evaluation.trained import Trained


@dataclass(frozen=True)
class Subject:
    """A classifier, however it is run.

    name: as it was given. preprocessing: image_size, crop_pct, interpolation, mean, std. made_from: what its training
    says of its data. facts: kind, model, weights, format, precision, runtime, for the row. trained: of a run, the
    network itself, unfolded.
    """

    name: str
    predictor: Predictor
    preprocessing: dict[str, Any]
    made_from: dict[str, Any]
    facts: dict[str, Any]
    trained: "Trained | None" = None

    @property
    def classes(self) -> list[str]:
        return self.predictor.classes

    @property
    def size(self) -> int:
        return int(self.preprocessing["image_size"])

    @property
    def fill(self) -> Array:
        """The mean colour of training, which hides a pixel: uint8 [3, 1, 1]."""
        return np.round(255 * np.array(self.preprocessing["mean"])).astype(np.uint8).reshape(3, 1, 1)


def split_words(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """(networks, image files) of the command's words, which name the networks first.

    Raises:
        UserError: a word that is neither, no network, a network after an image.
    """
    networks: list[str] = []
    images: list[Path] = []
    for word in words:
        if is_network(word):
            if images:
                raise UserError(f"{word} is a network and stands after an image; name runs and bundles first")
            networks.append(word)
        elif Path(word).exists() or any(letter in word for letter in "*?[") or Path(word).suffix in IMAGE_EXTENSIONS:
            images += find_images(word)
        else:
            raise UserError(f"there is no run, bundle or image at '{word}'; give a path that exists")
    if not networks:
        raise UserError(f"{words[0]} is neither a run nor a bundle; name one before the images")
    return networks, images


def is_network(word: str) -> bool:
    path = Path(word)
    return is_bundle(path) or path.suffix in (".safetensors", ".pth") or any(path.glob("*.safetensors"))


def open_subject(name: str, weights: Weights) -> Subject:
    """A bundle, run folder or checkpoint; raises UserError as opening that, or if it is no classifier."""
    if found := open_exported(name, "explain"):
        bundle, facts, made_from = found
        return Subject(name, bundle, bundle.card["preprocessing"], made_from, facts)
    from rapidnet.explain.trained_subject import open_run

    return open_run(name, weights)
