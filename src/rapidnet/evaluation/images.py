"""On which labelled images is a network judged? Needs no torch."""

from typing import Any

from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import Split
from rapidnet.data.labels import open_labelled_evaluation, open_labels
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.errors import UserError

BATCH = 64
"""Images in one forward pass unless one asks otherwise."""
SETTINGS = ("root", "val_fraction", "seed", "holdout", "exclude", "group_regex")


def open_images(
    name: str, classes: list[str], task: str, made_from: dict[str, Any], size: int, data: str, labels: str
) -> Split | BuiltinScenes:
    """The images of `data` (with `labels`, for several an image), or those a run validated on if it is empty.

    name: of the network, for messages; made_from: what its training says of its data; size: of built-in scenes.

    Raises:
        UserError: data that is not there or does not fit the network's classes or task.
    """
    several = task == "multilabel"
    if labels and not several:
        raise UserError(f"--labels {labels} has no effect on {name}, whose images carry one label; leave it out")
    if several and bool(labels) != bool(data):
        raise UserError(f"{name} names several labels an image; give --data with --labels, or neither")
    if (data or made_from["root"]) == "builtin":
        scenes = BuiltinScenes("val", made_from.get("val_length", 2000), size)
        if classes != scenes.classes:
            raise UserError(f"checkpoint {name} was not trained on the built-in digits; give --data DIR")
        return scenes
    if data:
        return open_labelled_evaluation(labels, data, classes) if several else open_evaluation(data, classes)
    settings = {key: made_from[key] for key in SETTINGS if key in made_from}
    return (open_labels(made_from["labels"], **settings) if several else open_splits(**settings))[1]
