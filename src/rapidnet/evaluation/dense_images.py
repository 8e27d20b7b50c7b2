"""On which pictures with labelled objects or pixels is a network judged? Needs no torch."""

from pathlib import Path
from typing import Any

from rapidnet.config import BadSamples, DenseTask
from rapidnet.data.annotation_report import settle
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_sources import open_dense, open_dense_evaluation
from rapidnet.data.dense_truth import TruthRecords
from rapidnet.errors import UserError

SETTINGS = ("val_fraction", "seed", "holdout", "exclude")


def open_dense_images(
    name: str, task: DenseTask, classes: list[str], made_from: dict[str, Any], data: str = "",
    policy: BadSamples = "error", folder: Path | None = None,
) -> tuple[TruthRecords | BuiltinObjects, BadSampleLog]:  # fmt: skip
    """The pictures of `data`, or those a run validated on if it is empty, and the log of those left out.

    name: of the network, for messages; made_from: what its training says of its data, the `data` of its metadata;
    policy, folder: as in `annotation_report.settle`.

    Raises:
        UserError: data that is not there or does not fit the network's classes or task, flaws under 'error'.
    """
    if (data or made_from["root"]) == "builtin":
        if "image_size" not in made_from or made_from["root"] != "builtin":
            raise UserError(f"{name} was not trained on the built-in data; give --data DIR")
        scenes = BuiltinObjects("val", made_from["val_length"], made_from["image_size"], task)
        return scenes, settle([], policy, folder)
    if data:
        split, log = open_dense_evaluation(data, task, classes, policy, folder)
        return TruthRecords(split, task), log
    settings = {key: made_from[key] for key in SETTINGS if key in made_from}
    found = open_dense(made_from["root"], task, policy, folder, **settings)
    if found.val.classes != classes:
        raise UserError(f"{made_from['root']} no longer lists the classes that {name} was trained on; give --data DIR")
    return TruthRecords(found.val, task), found.bad_samples


def number_classes(source: TruthRecords | BuiltinObjects) -> list[int]:
    """The numbers of the classes in the annotation file; from 1 on where there is none, as COCO counts."""
    numbers = [] if isinstance(source, BuiltinObjects) else source.split.category_ids
    return numbers or list(range(1, len(source.classes) + 1))
