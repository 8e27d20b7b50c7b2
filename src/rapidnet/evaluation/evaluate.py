"""How good is a network on labelled images? A table, a JSON row and pictures; an exported one needs no torch for it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rapidnet.config import EvaluateConfig
from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import Split
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.evaluation.dense_predictor import is_dense
from rapidnet.evaluation.evaluate_dense import describe_bundle, evaluate_dense, open_trained
from rapidnet.evaluation.images import BATCH, open_images
from rapidnet.evaluation.measures import MEASURES, Measure
from rapidnet.evaluation.metrics import Meter
from rapidnet.evaluation.pictures import save_figure
from rapidnet.evaluation.read_ahead import read_batches
from rapidnet.images import BadImageError
from rapidnet.runtimes.bundle import Bundle, is_bundle, open_bundle
from rapidnet.runtimes.network import Array

Read = Callable[[int], tuple[Array, Any] | BadSample]
"""Index of an image -> (uint8 [3, S, S], its label: a class, or 0 and 1 for each class)."""


@dataclass(frozen=True)
class Judgement:
    """How the task is judged, the row of results, the meter it comes from, and the folder that takes both, with the
    names of what is in it already."""

    measure: Measure
    row: dict[str, Any]
    meter: Any
    folder: Path
    names: list[str]


def run_evaluate(config: EvaluateConfig) -> int:
    """The evaluate command."""
    console = Console(stderr=config.json)
    judged = judge(config, console)
    row, folder = judged.row, judged.folder
    append_row(folder / "evaluation.jsonl", row | {"environment": describe_environment()})
    names = ["evaluation.jsonl"]
    for name, draw in judged.measure.pictures:
        save_figure(draw(judged.meter, row), folder / name)
        names.append(name)
    names += judged.names
    if config.json:
        print(json.dumps(row))
    else:
        judged.measure.print_result(row, console)
        console.print(f"{', '.join(names)} in [bold]{folder}[/bold]")
    return 0


def judge(config: EvaluateConfig, console: Console) -> Judgement:
    """Open what is to be judged and measure it; raises UserError as what does so."""
    bundle = open_bundle(config.run) if is_bundle(config.run) else None
    if bundle:
        refuse_settled(bundle, config)
    if is_dense(bundle or config.run):
        return judge_dense(bundle, config, console)
    if config.predictions:
        raise UserError(f"--predictions has no effect on {config.run}, a classifier; use rapidnet predict --json")
    if bundle:
        folder = find_folder(config, bundle)
        return Judgement(MEASURES[bundle.task], *evaluate_bundle(bundle, config, folder, console), folder, [])
    from rapidnet.evaluation.evaluate_trained import evaluate
    from rapidnet.evaluation.trained import load_trained

    trained = load_trained(config.run, config.weights)
    folder = find_folder(config, trained.path)
    return Judgement(trained.measure, *evaluate(trained, config, folder, console), folder, [])


def judge_dense(bundle: Bundle | None, config: EvaluateConfig, console: Console) -> Judgement:
    """The same of a detector or segmenter, exported or trained."""
    if bundle:
        subject, folder = describe_bundle(bundle), find_folder(config, bundle)
    else:
        subject, path = open_trained(config)
        folder = find_folder(config, path)
    row, meter, names = evaluate_dense(subject, config, folder, console)
    return Judgement(MEASURES[subject.predictor.task], row, meter, folder, names)


def find_folder(config: EvaluateConfig, opened: Bundle | Path) -> Path:
    """Where the results go: beside a checkpoint; not into a bundle, which holds what was certified and nothing else."""
    if config.output:
        return Path(config.output)
    return Path(f"{config.run}-evaluation") if isinstance(opened, Bundle) else opened.parent / "evaluation"


def refuse_settled(bundle: Bundle, config: EvaluateConfig) -> None:
    """Raise UserError for an option that only means something to a network that is not yet exported."""
    for name in ("weights", "fold"):
        if getattr(config, name) != getattr(EvaluateConfig, name):
            raise UserError(f"--{name} has no effect on {bundle.path}, which was settled on export; leave it out")


def evaluate_bundle(
    bundle: Bundle, config: EvaluateConfig, folder: Path, console: Console
) -> tuple[dict[str, Any], Meter]:
    """The row of results (percent) of a bundle in its own runtime, and the meter it comes from.

    Raises:
        UserError: data that does not fit, no images, an unreadable one under the policy 'error'.
    """
    card = bundle.card
    made_from = card["provenance"].get("training_data") or {}
    if not made_from and not config.data:
        raise UserError(f"{bundle.path} does not say what it was trained on; give labelled images with --data")
    size = card["preprocessing"]["image_size"]
    artifact = bundle.path / card["artifact"]
    found = open_images(str(artifact), bundle.classes, bundle.task, made_from, size, config.data, config.labels)
    count = len(found if isinstance(found, BuiltinScenes) else found.samples)
    meter, bad_samples = (
        MEASURES[bundle.task].build_meter(bundle.classes),
        BadSampleLog(config.bad_samples, folder / "quarantine.txt"),
    )
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=count)
        for batch in read_batches(build_reader(bundle, found), count, config.batch_size or BATCH):
            bad_samples.record([item for item in batch if isinstance(item, BadSample)])
            good = [item for item in batch if not isinstance(item, BadSample)]
            if good:
                pixels, labels = zip(*good, strict=True)
                meter.update(bundle.predict(np.stack(pixels)), np.stack(labels))
            bar.advance(task, len(batch))
    row = {
        "checkpoint": str(artifact),
        "model": card["model"],
        "data": config.data or made_from["root"],
        "weights": card["provenance"]["weights"],
        "folded": True,
        "runtime": bundle.network.runtime,
        "image_size": size,
        "bad_samples": len(bad_samples.paths),
    }
    return row | meter.compute(), meter


def build_reader(bundle: Bundle, found: Split | BuiltinScenes) -> Read:
    """Reads an image as the bundle takes it; safe to call in several threads."""

    def read(index: int) -> tuple[Array, Any] | BadSample:
        if isinstance(found, BuiltinScenes):
            return found.draw(index)
        sample = found.samples[index]
        several = np.zeros(len(found.classes), np.int64)
        several[list(sample.labels)] = 1
        try:
            pixels = bundle.prepare(found.fetch(sample))
        except BadImageError as error:
            return BadSample(sample.path, str(error))
        return pixels, several if bundle.task == "multilabel" else np.int64(sample.labels[0])

    return read
