"""How good is a detector or segmenter on labelled pictures, a trained one or an exported one without torch?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from rapidnet.config import EvaluateConfig
from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.data.dense_truth import BadRecordError, Pixels, Truth, TruthSource
from rapidnet.data.index_masks import BadMaskError
from rapidnet.errors import UserError
from rapidnet.evaluation.dense_answers import AnswerFiles, NoFiles, open_answer_files
from rapidnet.evaluation.dense_examples import ExampleSheet
from rapidnet.evaluation.dense_files import write_png
from rapidnet.evaluation.dense_images import open_dense_images
from rapidnet.evaluation.dense_predictor import DensePredictor, wrap_bundle
from rapidnet.evaluation.detection_metrics import DetectionMeter
from rapidnet.evaluation.measures import MEASURES
from rapidnet.evaluation.read_ahead import read_batches
from rapidnet.evaluation.segmentation_metrics import SegmentationMeter
from rapidnet.images import BadImageError
from rapidnet.runtimes.bundle import Bundle

BATCH = 4
"""Pictures in one forward pass unless one asks otherwise: they are large, and so are a segmenter's answers."""
Meter = DetectionMeter | SegmentationMeter


@dataclass(frozen=True)
class Subject:
    """What is measured.

    name: for messages; made_from: what its training says of its data; facts: what the row says of it.
    """

    predictor: DensePredictor
    name: str
    made_from: dict[str, Any]
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Reading:
    index: int
    pixels: Pixels
    prepared: Any
    truth: Truth


def describe_bundle(bundle: Bundle) -> Subject:
    """A bundle in its own runtime."""
    card, artifact = bundle.card, str(bundle.path / bundle.card["artifact"])
    preprocessing = card["preprocessing"]
    facts = {
        "checkpoint": artifact,
        "model": card["model"],
        "task": card["task"],
        "head": card["head"],
        "weights": card["provenance"]["weights"],
        "folded": True,
        "runtime": bundle.network.runtime,
        "short_side": preprocessing.get("short_side", preprocessing.get("image_size")),
    }
    return Subject(wrap_bundle(bundle), artifact, card["provenance"].get("training_data") or {}, facts)


def open_trained(config: EvaluateConfig) -> tuple[Subject, Path]:
    """A trained network, and its checkpoint; raises UserError as `load_trained_dense`."""
    import torch

    from rapidnet.evaluation.trained_dense import load_trained_dense
    from rapidnet.evaluation.trained_dense_predictor import build_trained_dense_predictor

    trained = load_trained_dense(config.run, config.weights)
    facts = {
        "checkpoint": str(trained.path),
        "model": trained.network.backbone,
        "task": trained.task,
        "head": trained.network.head,
        "weights": trained.weights,
        "folded": config.fold,
        "runtime": f"torch {torch.__version__}",
        "short_side": trained.preprocessing.short_side,
    }
    predictor = build_trained_dense_predictor(trained, config.fold)
    return Subject(predictor, str(trained.path), trained.metadata["data"], facts), trained.path


def evaluate_dense(
    subject: Subject, config: EvaluateConfig, folder: Path, console: Console
) -> tuple[dict[str, Any], Meter, list[str]]:
    """The row of results (percent), the meter it comes from, and the names of the files written into `folder`.

    Raises:
        UserError: data that does not fit, no pictures, one that cannot be used under the policy 'error'.
    """
    task, classes = subject.predictor.task, subject.predictor.classes
    if config.labels:
        raise UserError(
            f"--labels {config.labels} has no effect on {subject.name}, a run of --task {task}; leave it out"
        )
    if not subject.made_from and not config.data:
        raise UserError(f"{subject.name} does not say what it was trained on; give labelled pictures with --data")
    source, bad_samples = open_dense_images(
        subject.name, task, classes, subject.made_from, config.data, config.bad_samples, folder
    )
    meter: Meter = MEASURES[task].build_meter(classes)
    sheet = ExampleSheet(classes, len(source))
    files = open_answer_files(task, folder, source) if config.predictions else NoFiles()
    with Progress(console=console, transient=True) as bar:
        progress = bar.add_task("evaluating", total=len(source))
        batch_size = config.batch_size or BATCH
        for readings in read_batches(lambda index: read(subject.predictor, source, index), len(source), batch_size):
            take_batch(readings, subject.predictor, meter, sheet, files, bad_samples)
            bar.advance(progress, len(readings))
    row = subject.facts | {"data": config.data or subject.made_from["root"], "bad_samples": len(bad_samples.paths)}
    row |= meter.compute()
    write_png(folder / "examples.png", sheet.draw())
    files.finish()
    return row, meter, ["examples.png", *([files.name] if files.name else [])]


def read(predictor: DensePredictor, source: TruthSource, index: int) -> _Reading | BadSample:
    """A picture with its truth, prepared for the network; called in several threads."""
    try:
        pixels, truth = source.read(index)
    except (BadImageError, BadMaskError, BadRecordError) as error:
        return BadSample(source.name(index), str(error))
    return _Reading(index, pixels, predictor.prepare(pixels), truth)


def take_batch(
    readings: Sequence[_Reading | BadSample], predictor: DensePredictor, meter: Meter, sheet: ExampleSheet,
    files: AnswerFiles, bad_samples: BadSampleLog,
) -> None:  # fmt: skip
    """Answer a batch, and give the answers to all that look at them."""
    bad_samples.record([reading for reading in readings if isinstance(reading, BadSample)])
    good = [reading for reading in readings if isinstance(reading, _Reading)]
    answers = predictor.answer([one.prepared for one in good], [one.truth["size"] for one in good])
    for one, answer in zip(good, answers, strict=True):
        if isinstance(meter, DetectionMeter):
            meter.update(one.truth["image_id"], answer, one.truth)
        else:
            meter.update(answer["semantic"], one.truth["semantic"])
        sheet.add(one.index, one.pixels, one.truth, answer)
        files.add(one.index, one.truth["image_id"], answer)
