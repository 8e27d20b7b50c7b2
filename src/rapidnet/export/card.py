"""What does a bundle's card say? All that is needed to use an artifact, to doubt it, and to make it again."""

from dataclasses import dataclass
from typing import Any

from rapidnet.environment import describe_environment
from rapidnet.evaluation.trained import Trained
from rapidnet.export.capture import Captured
from rapidnet.export.certificate import Certificate
from rapidnet.export.conversion import Conversion
from rapidnet.export.prove import Proof
from rapidnet.export.sensitivity import LayerNoise
from rapidnet.export.source import Source
from rapidnet.models.complexity import count_macs, count_parameters
from rapidnet.runtimes.bundle import CARD_VERSION
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Structure


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


def describe_contract(trained: Trained, captured: Captured) -> dict[str, Any]:
    """How to use the artifact: from a photograph's pixels to class names."""
    spec = captured.spec
    sizes: int | list[int] = spec.image_size
    if spec.max_image_size > spec.image_size:
        sizes = [spec.image_size, spec.max_image_size]
    return {
        "task": trained.task,
        "classes": trained.classes,
        "preprocessing": trained.preprocessing.to_dict()
        | {
            "steps": [
                "decode, apply the EXIF orientation, convert to RGB",
                "resize the short side to round(image_size / crop_pct), antialiased, as Pillow does",
                "crop image_size x image_size from the centre",
            ],
            "normalisation": "by the caller: (pixel / 255 - mean) / std" if spec.raw else "inside the artifact",
        },
        "input": {
            "name": "pixels",
            "dtype": "float32" if spec.raw else "uint8",
            "layout": "NCHW",
            "channels": "RGB",
            "range": "normalised" if spec.raw else [0, 255],
            "min_batch": spec.batch or 1,
            "max_batch": spec.max_batch,
            "size": sizes,
        },
        "output": {"name": captured.output, "shape": ["batch", len(trained.classes)]},
    }


def describe_complexity(captured: Captured) -> dict[str, float]:
    """Of the folded network on one image of the smallest size: params_m (millions) and gmacs (1e9)."""
    network, size = captured.module.network, captured.spec.image_size
    return {"params_m": count_parameters(network) / 1e6, "gmacs": count_macs(network, (3, size, size)) / 1e9}


def build_card(
    source: Source, format_name: str, attempt: Attempt, origins: dict[str, str], license_name: str,
    noises: list[LayerNoise],
) -> dict[str, Any]:  # fmt: skip
    """The card but for the hashes of the files, which `finish_bundle` adds."""
    return {
        "card_version": CARD_VERSION,
        "model": source.name,
        "format": format_name,
        "precision": attempt.conversion.precision,
        "artifact": FORMATS[format_name].artifact,
        **describe_contract(source.trained, attempt.conversion.captured),
        "license": license_name,
        "runtime": attempt.runtime,
        "certificate": attempt.certificate.to_dict() | {"task": attempt.proof.figures} | origins,
        "conversion": {"folded": True, **attempt.facts, "kept_float": sorted(attempt.conversion.keep_float)},
        "structure": attempt.structure.to_dict(),
        "expected": attempt.expected,
        "complexity": describe_complexity(attempt.conversion.captured),
        "layers": [noise.to_dict() for noise in noises],
        "provenance": source.provenance,
        "environment": describe_environment(),
    }
