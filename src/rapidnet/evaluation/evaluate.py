"""How good is a trained network on labelled images? A table, a JSON row and pictures."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from rapidnet.config import EvaluateConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.labels import open_labelled_evaluation, open_labels
from rapidnet.data.loading import BadSampleLog, EpochSampler, ImageFolder, SizedDataset, build_loader
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.data.transforms import Preprocessing
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.evaluation.classification import Meter, Predict, build_predict, measure
from rapidnet.evaluation.pictures import save_figure
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.models import reparameterize
from rapidnet.runtimes.bundle import Bundle, is_bundle, open_bundle


def run_evaluate(config: EvaluateConfig) -> int:
    """The evaluate command."""
    console = Console(stderr=config.json)
    bundle = open_bundle(config.run) if is_bundle(config.run) else None
    trained = describe_bundle(bundle, config) if bundle else load_trained(config.run, config.weights)
    # A bundle's folder holds what was certified and nothing else.
    default = Path(f"{config.run}-evaluation") if bundle else trained.path.parent / "evaluation"
    folder = Path(config.output) if config.output else default
    row, meter = evaluate(trained, config, folder, console, bundle)
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


def describe_bundle(bundle: Bundle, config: EvaluateConfig) -> Trained:
    """What a bundle's card says of its network, in the form in which checkpoints say it; without the network.

    Raises:
        UserError: an option that only means something to a network that is not yet exported.
    """
    card = bundle.card
    for name in ("weights", "fold"):
        if getattr(config, name) != getattr(EvaluateConfig, name):
            raise UserError(f"--{name} has no effect on {bundle.path}, which was settled on export; leave it out")
    names = [field.name for field in fields(Preprocessing)]
    contract = {name: card["preprocessing"][name] for name in names}
    made_from = card["provenance"].get("training_data") or {}
    if not made_from and not config.data:
        raise UserError(f"{bundle.path} does not say what it was trained on; give labelled images with --data")
    metadata = {"model": card["model"], "task": card["task"], "data": made_from}
    return Trained(
        nn.Identity(),
        bundle.classes,
        Preprocessing.from_dict(contract),
        bundle.path / card["artifact"],
        metadata,
        "raw",
    )


def evaluate(
    trained: Trained, config: EvaluateConfig, folder: Path, console: Console, bundle: Bundle | None = None
) -> tuple[dict[str, Any], Meter]:
    """The row of results (percent) and the meter it comes from, in float32; of `bundle` in its runtime, if given.

    Raises:
        UserError: data that does not fit, no images, an unreadable one under the policy 'error'.
    """
    dataset = open_data(trained, config.data, config.labels)
    loader = build_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), config.batch_size, 0, train=False)
    meter = trained.measure.build_meter(trained.classes)
    bad_samples = BadSampleLog(config.bad_samples, folder / "quarantine.txt")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=len(dataset))
        predict = run_bundle(bundle) if bundle else run_network(trained, config.fold)
        measure(predict, loader, meter, bad_samples, lambda images: bar.advance(task, images))
    row = {
        "checkpoint": str(trained.path),
        "model": trained.metadata["model"],
        "data": config.data or trained.metadata["data"]["root"],
        "weights": bundle.card["provenance"]["weights"] if bundle else trained.weights,
        "folded": config.fold or bundle is not None,
        "runtime": bundle.network.runtime if bundle else f"torch {torch.__version__}",
        "image_size": trained.preprocessing.image_size,
        "bad_samples": len(bad_samples.paths),
    }
    return row | meter.compute(), meter


def run_network(trained: Trained, fold: bool) -> Predict:
    model = reparameterize(trained.model) if fold else trained.model
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    return build_predict(model, trained.preprocessing, activate=trained.measure.activate)


def run_bundle(bundle: Bundle) -> Predict:
    return lambda images: torch.from_numpy(bundle.predict(images.contiguous().numpy()))


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
    return ImageFolder(split, trained.preprocessing, seed=0)
