"""How does a trained network become bundles, each with its certificate?"""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from rapidnet.config.export import ExportConfig
from rapidnet.environment import append_row, describe_environment, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.evaluation.classification import build_predict
from rapidnet.evaluation.trained import Trained
from rapidnet.evaluation.trained_dense import TrainedDense
from rapidnet.export.bundle import dump, finish_bundle, temporary_bundle
from rapidnet.export.capture import InputSpec, capture
from rapidnet.export.card import Attempt, build_card, describe_contract
from rapidnet.export.conversion import Conversion, expect_structure
from rapidnet.export.converters import adapt, convert, refuse
from rapidnet.export.dense_job import prepare_dense
from rapidnet.export.golden import GOLDEN
from rapidnet.export.job import Job
from rapidnet.export.prove import BATCH, LabelledImages, prove
from rapidnet.export.references import build_golden
from rapidnet.export.report import print_certificate
from rapidnet.export.samples import Samples, load_calibration_samples, load_check_samples
from rapidnet.export.sensitivity import measure_layers
from rapidnet.export.source import open_source
from rapidnet.runtimes.bundle import Bundle
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Array

REJECTED = 4
"""The exit code when an artifact failed its checks."""
GOLDEN_IMAGES = 32
# How many of the worst layers are left in float, one attempt after the other, until an int8 artifact holds.
KEEP_FLOAT_STEPS = (0, 2, 4, 8, 16)


def run_export(config: ExportConfig) -> int:
    """The export command: 0 if every artifact passed, 4 if one was rejected."""
    console = Console()
    job = prepare(config, console)
    rejected = 0
    for name in config.formats:
        with console.status(f"{name}: converting and checking"):
            path, card = export_format(name, job)
        passed = card["certificate"]["verdict"] == "passed"
        rejected += not passed
        print_certificate(card["certificate"], f"{name} {config.precision}, run by {card['runtime']}", console)
        said = f"bundle [bold]{path}[/bold]" if passed else f"[bold red]rejected[/bold red]; the report is {path}"
        console.print(said, highlight=False)
    return REJECTED if rejected else 0


def prepare(config: ExportConfig, console: Console) -> Job:
    """Everything up to the first conversion; what is impossible is refused here.

    Raises:
        UserError: see `open_source`, `refuse`, `load_check_samples`, `load_calibration_samples`, `capture`.
    """
    source = open_source(config)
    if isinstance(source.trained, TrainedDense):
        return prepare_dense(source, config, console)
    if config.part != "whole":
        raise UserError(f"--part {config.part} is for detectors and segmenters; leave it out")
    size = config.image_size or source.trained.preprocessing.image_size
    spec = InputSpec(size, config.max_image_size or size, config.max_batch, config.raw, config.fixed_batch)
    for name in config.formats:
        refuse(name, spec, config.precision)
    trained = replace(source.trained, preprocessing=replace(source.trained.preprocessing, image_size=size))
    source = replace(source, trained=trained)
    check_layers(config, trained.model)
    calibration = load_calibration_samples(trained, config, console) if config.precision == "int8" else None
    samples = load_check_samples(trained, config, console)
    origins = {"checked_on": samples.origin} | ({"calibrated_on": calibration.origin} if calibration else {})
    with console.status("asking the network itself"):
        captured = capture(trained.model, trained.preprocessing, trained.task, spec)
        golden = build_golden(source, samples.pixels[:GOLDEN_IMAGES], samples.targets[:GOLDEN_IMAGES], config.raw)
        task = build_task(trained, samples) if samples.labelled else None
        noises = measure_layers(captured.module, calibration.pixels) if calibration else []
    return Job(config, source, captured, golden, origins, task, calibration.pixels if calibration else None, noises)


def check_layers(config: ExportConfig, model: nn.Module) -> None:
    layers = {name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    for name in choose_float(config.keep_float):
        if name not in layers:
            raise UserError(
                f"--keep-float {name} is no convolution of the network; take names from layers in an int8 bundle's "
                "card.json"
            )


def choose_float(text: str) -> list[str]:
    return [] if text in ("auto", "none") else [name.strip() for name in text.split(",") if name.strip()]


def build_task(trained: Trained, samples: Samples) -> LabelledImages:
    """The labelled images with what the network itself, not folded, makes of them in float32."""
    predict = build_predict(trained.model, trained.preprocessing, activate=trained.measure.activate)
    reference = torch.cat([predict(batch) for batch in torch.from_numpy(samples.pixels).split(BATCH)]).numpy()

    def compute(probabilities: Array, targets: Array) -> dict[str, Any]:
        meter = trained.measure.build_meter(trained.classes)
        meter.update(probabilities, targets)
        return meter.compute()

    return LabelledImages(samples.pixels, samples.targets, reference, compute, trained.measure.score)


def export_format(name: str, job: Job) -> tuple[Path, dict[str, Any]]:
    """One bundle, or its report as `*.rejected`, with the card; int8 is tried again with more layers in float."""
    config = job.config
    target = Path(config.output) / f"{job.name}-{name}-{config.precision}"
    choices = [frozenset(choose_float(config.keep_float))]
    if config.precision == "int8" and config.keep_float == "auto":
        choices = [frozenset(noise.layer for noise in job.noises[:count]) for count in KEEP_FLOAT_STEPS]
    with temporary_bundle(target) as folder:
        for keep_float in choices:
            shutil.rmtree(folder)
            folder.mkdir()
            conversion = Conversion(job.captured, config.precision, job.calibration, keep_float)
            attempt = make_and_judge(name, job, conversion, folder)
            if not attempt.certificate.mendable:
                break
        card = build_card(job, name, attempt)
        if config.results:
            row = describe_row(job, name, attempt, folder)
            append_row(config.results, row | {"environment": describe_environment()})
        if not attempt.certificate.passed:
            report = target.with_name(target.name + ".rejected")
            write_text_atomically(report, dump(card))
            return report, card
        finish_bundle(folder, target, card)
    return target, card


def make_and_judge(name: str, job: Job, conversion: Conversion, folder: Path) -> Attempt:
    """Convert into `folder`, then run the artifact in its own runtime through every check."""
    started = time.perf_counter()
    adapted = adapt(name, conversion)
    made = convert(name, adapted, folder)
    converted = time.perf_counter()
    job.golden.save(folder / GOLDEN)
    kind = FORMATS[name]
    structure, expected = kind.inspect(made.artifact), expect_structure(adapted)
    expected |= {"tolerances": job.tolerances} if job.tolerances else {}
    expected |= {"foreign": True} if job.foreign else {}
    contract = describe_contract(job, conversion.captured)
    bundle = Bundle(folder, contract, kind.open(made.artifact))
    proof = prove(bundle, kind, conversion.precision, job.golden, structure, expected, job.task)
    seconds = {"convert": round(converted - started, 2), "check": round(time.perf_counter() - converted, 2)}
    return Attempt(conversion, made.facts, structure, expected, proof, bundle.network.runtime, seconds)


def describe_row(job: Job, format_name: str, attempt: Attempt, folder: Path) -> dict[str, Any]:
    """A row of results/export.jsonl; shares in percent, ratios in dB, of several outputs the worst."""
    source, checks = job.source, attempt.certificate.checks
    ratios = [check.figure for check in checks if check.name.endswith("real inputs: SQNR")]
    errors = [check.figure for check in checks if check.name.endswith("real inputs: largest error")]
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != GOLDEN]
    return {
        "study": "export",
        "model": source.name,
        **job.kind,
        "model_options": source.provenance.get("model_options", {}),
        "format": format_name,
        "precision": attempt.conversion.precision,
        "image_size": attempt.conversion.captured.spec.image_size,
        "verdict": "passed" if attempt.certificate.passed else "failed",
        "failures": attempt.certificate.failures,
        "sqnr_db": min(ratios, default=None),
        "max_rel": max(errors, default=None),
        **attempt.proof.figures,
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 3),
        "convert_seconds": attempt.seconds["convert"],
        "check_seconds": attempt.seconds["check"],
        "kept_float": sorted(attempt.conversion.keep_float),
        "controls": {control.name: control.caught for control in attempt.certificate.controls},
        "runtime": attempt.runtime,
    }
