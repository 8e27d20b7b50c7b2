"""Does an artifact, run in its own runtime, answer as its network does? The whole proof; needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rapidnet.export.certificate import Certificate, Control, certify
from rapidnet.export.checks import TOLERANCES, check_accuracy, check_answers, check_structure
from rapidnet.export.golden import Golden
from rapidnet.runtimes.bundle import Bundle
from rapidnet.runtimes.formats import Format
from rapidnet.runtimes.network import Array, Structure

BATCH = 32


@dataclass(frozen=True)
class Task:
    """Labelled images and what the network itself makes of them.

    pixels: uint8 [N, 3, S, S]; targets: [N] or [N, num_classes]; reference: its probabilities [N, num_classes].
    compute: (probabilities, targets) -> results, of which `score` (percent) is judged.
    """

    pixels: Array
    targets: Array
    reference: Array
    compute: Callable[[Array, Array], Mapping[str, Any]]
    score: str


@dataclass(frozen=True)
class Proof:
    """A certificate, with what was measured on labelled images (empty if there were none)."""

    certificate: Certificate
    figures: dict[str, Any]


def prove(
    bundle: Bundle, kind: Format, precision: str, golden: Golden, structure: Structure, expected: Mapping[str, Any],
    task: Task | None = None, arithmetic: str = "",
) -> Proof:  # fmt: skip
    """Tensor, structure and (with labelled images) task checks, and a negative control for each kind of mistake.

    arithmetic: what the runtime was asked to compute in, if not in the artifact's own precision.
    """
    mode = arithmetic or precision
    tolerance = replace(TOLERANCES[mode], **expected.get("tolerances", {}).get(mode, {}))
    checks = check_structure(structure, precision, kind.operators, expected)
    controls: list[Control] = []
    figures: dict[str, Any] = {}
    if task is not None:
        found = run_in_batches(bundle.predict, task.pixels)
        network, artifact = (task.compute(values, task.targets) for values in (task.reference, found))
        label = task.score.replace("top1", "top-1").replace("map", "mAP")
        checks.append(check_accuracy(artifact[task.score], network[task.score], tolerance, label))
        if task.targets.ndim == 1:
            checks.append(check_answers(found, task.reference, tolerance, "labelled images"))
            figures["agreement"] = 100 * float((found.argmax(1) == task.reference.argmax(1)).mean())
        # Labels moved on by one class: an artifact whose classes are in another order.
        moved = task.compute(np.roll(found, 1, axis=1), task.targets)[task.score]
        caught = not check_accuracy(moved, network[task.score], tolerance, label).passed
        controls.append(Control("shuffled labels, by accuracy", caught, [label] if caught else []))
        figures |= {
            "score": task.score,
            "images": len(found),
            "artifact": artifact[task.score],
            "network": network[task.score],
            "artifact_interval": artifact.get(f"{task.score}_interval"),
            "network_interval": network.get(f"{task.score}_interval"),
        }
    name = bundle.card["output"]["name"]
    certificate = certify(
        lambda pixels: run_in_batches(lambda portion: bundle.run(portion)[name].astype(np.float64), pixels),
        golden, tolerance, checks,
    )  # fmt: skip
    return Proof(Certificate(certificate.checks, certificate.controls + controls), figures)


def run_in_batches(function: Callable[[Array], Array], pixels: Array) -> Array:
    """`function` over portions of [N, 3, S, S], so that memory stays bounded."""
    return np.concatenate([function(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])
