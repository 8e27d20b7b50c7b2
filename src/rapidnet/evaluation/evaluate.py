"""How good is a network on labelled images? A table, a JSON row and pictures; an exported one needs no torch for it."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
from rapidnet.evaluation.images import open_images
from rapidnet.evaluation.measures import MEASURES, Measure
from rapidnet.evaluation.metrics import Meter
from rapidnet.evaluation.pictures import save_figure
from rapidnet.images import BadImageError
from rapidnet.runtimes.bundle import Bundle, is_bundle, open_bundle
from rapidnet.runtimes.network import Array

Read = Callable[[int], tuple[Array, Any] | BadSample]
"""Index of an image -> (uint8 [3, S, S], its label: a class, or 0 and 1 for each class)."""


def run_evaluate(config: EvaluateConfig) -> int:
    """The evaluate command."""
    console = Console(stderr=config.json)
    measure, row, meter, folder = judge(config, console)
    append_row(folder / "evaluation.jsonl", row | {"environment": describe_environment()})
    names = ["evaluation.jsonl"]
    for name, draw in measure.pictures:
        save_figure(draw(meter, row), folder / name)
        names.append(name)
    if config.json:
        print(json.dumps(row))
    else:
        measure.print_result(row, console)
        console.print(f"{', '.join(names)} in [bold]{folder}[/bold]")
    return 0


def judge(config: EvaluateConfig, console: Console) -> tuple[Measure, dict[str, Any], Meter, Path]:
    """How the task is judged, the row of results, the meter it comes from, and the folder for both."""
    if is_bundle(config.run):
        # A bundle's folder holds what was certified and nothing else.
        folder = Path(config.output or f"{config.run}-evaluation")
        bundle = open_bundle(config.run)
        return MEASURES[bundle.task], *evaluate_bundle(bundle, config, folder, console), folder
    from rapidnet.evaluation.evaluate_trained import evaluate
    from rapidnet.evaluation.trained import load_trained

    trained = load_trained(config.run, config.weights)
    folder = Path(config.output) if config.output else trained.path.parent / "evaluation"
    return trained.measure, *evaluate(trained, config, folder, console), folder


def evaluate_bundle(
    bundle: Bundle, config: EvaluateConfig, folder: Path, console: Console
) -> tuple[dict[str, Any], Meter]:
    """The row of results (percent) of a bundle in its own runtime, and the meter it comes from.

    Raises:
        UserError: an option that only means something to a network that is not yet exported, data that does not fit,
            no images, an unreadable one under the policy 'error'.
    """
    card = bundle.card
    for name in ("weights", "fold"):
        if getattr(config, name) != getattr(EvaluateConfig, name):
            raise UserError(f"--{name} has no effect on {bundle.path}, which was settled on export; leave it out")
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
        for batch in read_batches(build_reader(bundle, found), count, config.batch_size):
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


def read_batches(read: Read, count: int, batch_size: int) -> Iterator[list[tuple[Array, Any] | BadSample]]:
    """Every image once and in order; the next batch is read while the one before is in use."""
    with ThreadPoolExecutor() as pool:
        ahead = None
        for start in range(0, count + batch_size, batch_size):
            reading = [pool.submit(read, index) for index in range(start, min(start + batch_size, count))]
            if ahead is not None:
                yield [future.result() for future in ahead]
            ahead = reading
