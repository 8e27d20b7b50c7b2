"""What do commands ask of classifiers that they show the same pictures, runs and bundles alike? Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from rapidnet.errors import UserError
from rapidnet.evaluation.dense_predictor import DENSE_TASKS, is_dense
from rapidnet.runtimes.bundle import Bundle, is_bundle, open_bundle

VIEW = ("image_size", "crop_pct", "interpolation")
"""What decides which pixels a network gets; subjects that are compared must agree in it."""


def refuse_task(name: str, task: str, command: str) -> NoReturn:
    """Say that the command takes classifiers of one class an image only."""
    said = "detection or segmentation" if task in DENSE_TASKS else task
    raise UserError(f"{name} is of task {said}, and {command} is for classification only; give another one")


def open_exported(name: str, command: str) -> tuple[Bundle, dict[str, Any], dict[str, Any]] | None:
    """A bundle, the facts of it for a row, and what its training says of its data; None if the name is of no bundle.

    Raises:
        UserError: as opening the bundle; a bundle or run of another task.
    """
    if not is_bundle(name):
        if is_dense(name):
            refuse_task(name, DENSE_TASKS[0], command)
        return None
    bundle = open_bundle(name)
    card = bundle.card
    if bundle.task != "classification":
        refuse_task(name, bundle.task, command)
    facts = {
        "kind": "bundle", "model": card["model"], "weights": card["provenance"]["weights"],
        "format": card["format"], "precision": card["precision"], "runtime": bundle.network.runtime,
    }  # fmt: skip
    return bundle, facts, card["provenance"].get("training_data") or {}


def check_alike(subjects: Sequence[tuple[str, list[str], Mapping[str, Any]]]) -> None:
    """Raise UserError unless all (name, classes, preprocessing) see the same pixels and know the same classes."""
    first, classes, view = subjects[0]
    for name, other_classes, other_view in subjects[1:]:
        if other_classes != classes:
            raise UserError(f"{name} has other classes than {first}; give them one at a time")
        for key in VIEW:
            if other_view[key] != view[key]:
                raise UserError(
                    f"{name} has {key} {other_view[key]} and {first} {view[key]}, so that they would see different "
                    "pixels; give them one at a time"
                )
