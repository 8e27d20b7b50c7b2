"""How good is a trained network on labelled images? A table, a JSON row and pictures."""

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from rapidnet.config import EvaluateConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.labels import open_labelled_evaluation, open_labels
from rapidnet.data.loading import BadSampleLog, EpochSampler, ImageFolder, SizedDataset, build_loader
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.evaluation.classification import Meter, build_predict, measure
from rapidnet.evaluation.pictures import save_figure
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.models import reparameterize


def run_evaluate(config: EvaluateConfig) -> int:
    """The evaluate command."""
    console = Console(stderr=config.json)
    trained = load_trained(config.run, config.weights)
    folder = Path(config.output) if config.output else trained.path.parent / "evaluation"
    row, meter = evaluate(trained, config, folder, console)
    append_row(folder / "evaluation.jsonl", row | {"environment": describe_environment()})
    names = ["evaluation.jsonl"]
    for name, draw in trained.measure.pictures:
        save_figure(draw(meter, row), folder / name)
        names.append(name)
    if config.json:
        print(json.dumps(row))
    else:
        trained.measure.print_result(row, console)
        console.print(f"{', '.join(names)} in [bold]{folder}[/bold]")
    return 0


def evaluate(trained: Trained, config: EvaluateConfig, folder: Path, console: Console) -> tuple[dict[str, Any], Meter]:
    """The row of results (percent) and the meter it comes from, in float32.

    Raises:
        UserError: data that does not fit, no images, an unreadable one under the policy 'error'.
    """
    dataset = open_data(trained, config.data, config.labels)
    model = reparameterize(trained.model) if config.fold else trained.model
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    loader = build_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), config.batch_size, 0, train=False)
    meter = trained.measure.build_meter(trained.classes)
    bad_samples = BadSampleLog(config.bad_samples, folder / "quarantine.txt")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=len(dataset))
        predict = build_predict(model, trained.preprocessing, activate=trained.measure.activate)
        measure(predict, loader, meter, bad_samples, lambda images: bar.advance(task, images))
    row = {
        "checkpoint": str(trained.path),
        "model": trained.metadata["model"],
        "data": config.data or trained.metadata["data"]["root"],
        "weights": trained.weights,
        "folded": config.fold,
        "image_size": trained.preprocessing.image_size,
        "bad_samples": len(bad_samples.paths),
    }
    return row | meter.compute(), meter


def open_data(trained: Trained, data: str, labels: str = "") -> SizedDataset:
    """The images of `data` (with `labels`, for several an image), or the run's own validation images if it is empty."""
    several = trained.task == "multilabel"
    if labels and not several:
        raise UserError(
            f"--labels {labels} has no effect on {trained.path}, whose images carry one label; leave it out"
        )
    if several and bool(labels) != bool(data):
        raise UserError(f"{trained.path} names several labels an image; give --data with --labels, or neither")
    made_from = trained.metadata["data"]
    size = trained.preprocessing.image_size
    if (data or made_from["root"]) == "builtin":
        scenes = BuiltinScenes("val", made_from.get("val_length", 2000), size)
        if trained.classes != scenes.classes:
            raise UserError(f"checkpoint {trained.path} was not trained on the built-in digits; give --data DIR")
        return scenes
    names = ("root", "val_fraction", "seed", "holdout", "exclude", "group_regex")
    settings = {name: made_from[name] for name in names if name in made_from}
    if data:
        split = (
            open_labelled_evaluation(labels, data, trained.classes)
            if several
            else open_evaluation(data, trained.classes)
        )
    else:
        split = (open_labels(made_from["labels"], **settings) if several else open_splits(**settings))[1]
    return ImageFolder(split, trained.preprocessing.build_transform(), seed=0)
