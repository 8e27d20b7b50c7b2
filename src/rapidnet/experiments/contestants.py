"""How do several classifiers, trained or exported, answer the same images?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from rapidnet.config import CompareConfig, EvaluateConfig
from rapidnet.data.bad_samples import BadSample
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import Split
from rapidnet.data.loading import ImageFolder
from rapidnet.errors import UserError
from rapidnet.evaluation.dense_predictor import is_dense
from rapidnet.evaluation.evaluate import build_reader, evaluate_bundle
from rapidnet.evaluation.evaluate_trained import evaluate, open_data
from rapidnet.evaluation.images import open_images
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.trained import load_trained
from rapidnet.runtimes.bundle import Bundle, is_bundle, open_bundle

Array = np.ndarray


@dataclass(frozen=True)
class Contestant:
    """A classifier on its images.

    names: of the images, in their order, each with its label; measure: its row of results and answers; show: index ->
    uint8 [H, W, 3], the image as the network sees it.
    """

    name: str
    classes: list[str]
    names: list[str]
    measure: Callable[[Console], tuple[dict[str, Any], ClassificationMeter]]
    show: Callable[[int], Array]


def open_contestants(config: CompareConfig) -> list[Contestant]:
    """Every run, on the same images.

    Raises:
        UserError: what is no classifier; runs with other classes or other images than the first.
    """
    found = [open_contestant(run, config) for run in config.runs]
    first = found[0]
    for other in found[1:]:
        if other.classes != first.classes:
            raise UserError(f"{other.name} and {first.name} name other classes; compare networks of the same classes")
        if other.names != first.names:
            raise UserError(
                f"{other.name} and {first.name} were validated on other images ({len(other.names)} and "
                f"{len(first.names)}); give the images to compare them on with --data DIR"
            )
    return found


def open_contestant(run: str, config: CompareConfig) -> Contestant:
    bundle = open_bundle(run) if is_bundle(run) else None
    if is_dense(bundle or run):
        raise UserError(f"{run} is no classifier; rapidnet compare holds classifiers against each other")
    return open_exported(run, bundle, config) if bundle else open_trained(run, config)


def open_trained(run: str, config: CompareConfig) -> Contestant:
    trained = load_trained(run, config.weights)
    refuse_several_labels(run, trained.task)
    dataset = open_data(trained, config.data)

    def measure(console: Console) -> tuple[dict[str, Any], Any]:
        return evaluate(trained, configure(run, config), Path(config.output), console)

    def show(index: int) -> Array:
        item = dataset[0, index]
        assert not isinstance(item, BadSample), "only images that were measured are shown"
        return item[0].permute(1, 2, 0).numpy()

    names = list_names(dataset.samples, trained.classes) if isinstance(dataset, ImageFolder) else count(len(dataset))
    return Contestant(run, trained.classes, names, measure, show)


def open_exported(run: str, bundle: Bundle, config: CompareConfig) -> Contestant:
    refuse_several_labels(run, bundle.task)
    made_from = bundle.card["provenance"].get("training_data") or {}
    if not made_from and not config.data:
        raise UserError(f"{run} does not say what it was trained on; give labelled images with --data")
    size = bundle.card["preprocessing"]["image_size"]
    found: Split | BuiltinScenes = open_images(run, bundle.classes, bundle.task, made_from, size, config.data, "")
    read = build_reader(bundle, found)

    def measure(console: Console) -> tuple[dict[str, Any], Any]:
        return evaluate_bundle(bundle, configure(run, config), Path(config.output), console)

    def show(index: int) -> Array:
        item = read(index)
        assert not isinstance(item, BadSample), "only images that were measured are shown"
        return np.asarray(item[0]).transpose(1, 2, 0)

    names = count(len(found)) if isinstance(found, BuiltinScenes) else list_names(found.samples, found.classes)
    return Contestant(run, bundle.classes, names, measure, show)


def configure(run: str, config: CompareConfig) -> EvaluateConfig:
    """An unreadable image is an error: left out by one network alone, it would shift the pairs."""
    return EvaluateConfig(run, data=config.data, weights=config.weights, batch_size=config.batch_size)


def refuse_several_labels(run: str, task: str) -> None:
    if task != "classification":
        raise UserError(f"{run} names several labels an image; rapidnet compare takes networks that name one")


def list_names(samples: Sequence[Any], classes: list[str]) -> list[str]:
    return [f"{classes[sample.labels[0]]}/{Path(sample.path).name}" for sample in samples]


def count(length: int) -> list[str]:
    """Names of the built-in scenes, which differ by size alone."""
    return [f"scene {index}" for index in range(length)]
