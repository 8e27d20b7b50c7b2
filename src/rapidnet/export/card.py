"""What does a bundle's card say? All that is needed to use an artifact, to doubt it, and to make it again."""

from dataclasses import dataclass
from typing import Any

import torch

from rapidnet.environment import describe_environment
from rapidnet.evaluation.trained import Trained
from rapidnet.export.capture import Captured
from rapidnet.export.certificate import Certificate
from rapidnet.export.conversion import Conversion
from rapidnet.export.job import Job
from rapidnet.export.prove import Proof
from rapidnet.models.complexity import count_macs, count_parameters
from rapidnet.runtimes.bundle import CARD_VERSION
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Structure

CLASSIFIER_STEPS = [
    "decode, apply the EXIF orientation, convert to RGB",
    "resize the short side to round(image_size / crop_pct), antialiased, as Pillow does",
    "crop image_size x image_size from the centre",
]


@dataclass(frozen=True)
class Attempt:
    """One converted and judged artifact. seconds: "convert" and "check"; facts: what the converter says of it."""

    conversion: Conversion
    facts: dict[str, Any]
    structure: Structure
    expected: dict[str, Any]
    proof: Proof
    runtime: str
    seconds: dict[str, float]

    @property
    def certificate(self) -> Certificate:
        return self.proof.certificate


def describe_contract(job: Job, captured: Captured) -> dict[str, Any]:
    """How to use the artifact: from a picture's pixels to class names, or to what is found in it."""
    trained, spec = job.source.trained, captured.spec
    sizes: int | list[int] = spec.image_size
    if spec.max_image_size > spec.image_size:
        sizes = [spec.image_size, spec.max_image_size]
    preprocessing = job.preprocessing or trained.preprocessing.to_dict() | {"steps": CLASSIFIER_STEPS}
    return {
        "task": trained.task,
        "classes": trained.classes,
        "preprocessing": preprocessing
        | {"normalisation": "by the caller: (pixel / 255 - mean) / std" if spec.raw else "inside the artifact"},
        "input": {
            "name": "pixels",
            "dtype": "float32" if spec.raw else "uint8",
            "layout": "NCHW",
            "channels": "RGB",
            "range": "normalised" if spec.raw else [0, 255],
            "min_batch": spec.batch or 1,
            "max_batch": spec.max_batch,
            "size": sizes,
        }
        | ({"height": spec.shape[0], "width": spec.shape[1]} if job.preprocessing else {}),
        **describe_outputs(job, captured),
    }


def describe_outputs(job: Job, captured: Captured) -> dict[str, Any]:
    """Names and shapes, and how they become what is found in a picture, with the classes' numbers in the data."""
    trained = job.source.trained
    if isinstance(trained, Trained):
        return {"output": {"name": captured.output, "shape": ["batch", len(trained.classes)]}}
    with torch.inference_mode():
        answers: Any = captured.module(captured.example)
    shapes = [list(answer.shape) for answer in (answers if isinstance(answers, tuple | list) else [answers])]
    outputs = [
        {"name": name, "shape": shape} for name, shape in zip(captured.outputs, shapes, strict=True)
    ]  # fmt: skip
    found = {"answers": job.answers} if job.answers else {}
    return {"head": trained.network.head, "category_ids": trained.category_ids, "outputs": outputs, **found}


def describe_complexity(captured: Captured) -> dict[str, float]:
    """Of the folded network on one image of the smallest size: params_m (millions) and gmacs (1e9)."""
    network, spec = captured.module.network, captured.spec
    size = (spec.image_size, spec.width or spec.image_size)
    return {"params_m": count_parameters(network) / 1e6, "gmacs": count_macs(network, (3, *size)) / 1e9}


def build_card(job: Job, format_name: str, attempt: Attempt) -> dict[str, Any]:
    """The card but for the hashes of the files, which `finish_bundle` adds."""
    return {
        "card_version": CARD_VERSION,
        "model": job.source.name,
        "format": format_name,
        "precision": attempt.conversion.precision,
        "artifact": FORMATS[format_name].artifact,
        **describe_contract(job, attempt.conversion.captured),
        "license": job.config.license,
        "runtime": attempt.runtime,
        "certificate": attempt.certificate.to_dict() | {"task": attempt.proof.figures} | job.origins,
        "conversion": {"folded": True, **attempt.facts, "kept_float": sorted(attempt.conversion.keep_float)},
        "structure": attempt.structure.to_dict(),
        "expected": attempt.expected,
        "complexity": describe_complexity(attempt.conversion.captured),
        "layers": [noise.to_dict() for noise in job.noises],
        "provenance": job.source.provenance,
        "environment": describe_environment(),
    }
