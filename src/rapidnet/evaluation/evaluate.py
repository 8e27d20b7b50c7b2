"""How good is a trained network on labelled images? A table, a JSON row and pictures."""

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rapidnet.config import EvaluateConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.loading import BadSampleLog, EpochSampler, ImageFolder, SizedDataset, build_loader
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.evaluation.classification import build_predict, measure
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.pictures import draw_confusion, draw_reliability, save_figure
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.models import reparameterize

SHOWN_CLASSES = 40
"""More classes than this are not all printed; evaluation.jsonl has every one."""


def run_evaluate(config: EvaluateConfig) -> int:
    """The evaluate command."""
    console = Console(stderr=config.json)
    trained = load_trained(config.run, config.weights)
    folder = Path(config.output) if config.output else trained.path.parent / "evaluation"
    row, meter = evaluate(trained, config, folder, console)
    append_row(folder / "evaluation.jsonl", row | {"environment": describe_environment()})
    save_figure(draw_confusion(row["confusion"], trained.classes), folder / "confusion.png")
    save_figure(draw_reliability(meter.reliability_bins(), row["ece"]), folder / "reliability.png")
    if config.json:
        print(json.dumps(row))
    else:
        print_result(row, console)
        console.print(f"evaluation.jsonl, confusion.png and reliability.png in [bold]{folder}[/bold]")
    return 0


def evaluate(
    trained: Trained, config: EvaluateConfig, folder: Path, console: Console
) -> tuple[dict[str, Any], ClassificationMeter]:
    """The row of results (percent) and the meter it comes from, in float32.

    Raises:
        UserError: data that does not fit, no images, an unreadable one under the policy 'error'.
    """
    dataset = open_data(trained, config.data)
    model = reparameterize(trained.model) if config.fold else trained.model
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    loader = build_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), config.batch_size, 0, train=False)
    meter = ClassificationMeter(trained.classes)
    bad_samples = BadSampleLog(config.bad_samples, folder / "quarantine.txt")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=len(dataset))
        predict = build_predict(model, trained.preprocessing)
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


def open_data(trained: Trained, data: str) -> SizedDataset:
    """The images of `data`, or the validation images of the training run if it is empty."""
    made_from = trained.metadata["data"]
    size = trained.preprocessing.image_size
    if (data or made_from["root"]) == "builtin":
        scenes = BuiltinScenes("val", made_from.get("val_length", 2000), size)
        if trained.classes != scenes.classes:
            raise UserError(f"checkpoint {trained.path} was not trained on the built-in digits; give --data DIR")
        return scenes
    if data:
        split = open_evaluation(data, trained.classes)
    else:
        names = ("root", "val_fraction", "seed", "holdout", "exclude")
        split = open_splits(**{name: made_from[name] for name in names if name in made_from})[1]
    return ImageFolder(split, trained.preprocessing.build_transform(), seed=0)


def print_result(row: dict[str, Any], console: Console) -> None:
    """Accuracy, calibration and the classes, the worst recall first where not all fit."""
    table = Table(title=f"{row['checkpoint']} on {row['images']} images of {row['data']}")
    for heading in ("measure", "value", "95% interval"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for name, label in (("top1", "top-1"), ("top5", "top-5")):
        if row[name] is not None:
            low, high = row[f"{name}_interval"]
            table.add_row(label, f"{row[name]:.2f} %", f"{low:.2f} to {high:.2f}")
    table.add_row("macro F1", f"{row['macro_f1']:.2f} %", "")
    table.add_row("expected calibration error", f"{row['ece']:.2f} %", "")
    table.add_row("negative log-likelihood", f"{row['nll']:.4f} nats", "")
    console.print(table)
    classes = row["per_class"]
    worst = sorted(classes, key=lambda facts: facts["recall"] if facts["recall"] is not None else 101)
    shown = classes if len(classes) <= SHOWN_CLASSES else worst[:SHOWN_CLASSES]
    table = Table("class", title=f"{len(shown)} of {len(classes)} classes")
    for heading in ("images", "precision", "recall", "95% interval", "F1"):
        table.add_column(heading, justify="right")
    for facts in shown:
        interval = facts["recall_interval"]
        table.add_row(
            facts["class"], str(facts["support"]), _percent(facts["precision"]), _percent(facts["recall"]),
            f"{interval[0]:.1f} to {interval[1]:.1f}" if interval else "-", _percent(facts["f1"]),
        )  # fmt: skip
    console.print(table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
