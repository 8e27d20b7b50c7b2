"""Does an artifact, run in its own runtime, answer as its network does? The whole proof; needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from rapidnet.export.certificate import Certificate, Control, certify
from rapidnet.export.checks import TOLERANCES, Check, Tolerance, check_accuracy, check_answers, check_structure
from rapidnet.export.golden import Golden
from rapidnet.runtimes.bundle import Bundle
from rapidnet.runtimes.formats import Format
from rapidnet.runtimes.network import Array, Structure

BATCH = 32


# Output -> which of its dimensions the classes are.
CLASS_AXES = {"probabilities": 1, "logits": 1, "scores": 2}


@dataclass(frozen=True)
class TaskProof:
    """What labelled images say of an artifact: checks, negative controls, and figures for the card."""

    checks: list[Check]
    controls: list[Control]
    figures: dict[str, Any]


class Task(Protocol):
    """Labelled images and what the network itself makes of them; see `LabelledImages` and `dense_task`."""

    def judge(self, bundle: Bundle, tolerance: Tolerance, mode: str) -> TaskProof:
        """Run the artifact on all of them; `mode` is the number format that it computes in."""


@dataclass(frozen=True)
class LabelledImages:
    """A classifier's.

    pixels: uint8 [N, 3, S, S]; targets: [N] or [N, num_classes]; reference: its probabilities [N, num_classes].
    compute: (probabilities, targets) -> results, of which `score` (percent) is judged.
    """

    pixels: Array
    targets: Array
    reference: Array
    compute: Callable[[Array, Array], Mapping[str, Any]]
    score: str

    def judge(self, bundle: Bundle, tolerance: Tolerance, mode: str) -> TaskProof:
        """The share of the network's score kept and of its first answers, and labels that are not the images' own."""
        found = run_in_batches(bundle.predict, self.pixels)
        network, artifact = (self.compute(values, self.targets) for values in (self.reference, found))
        label = self.score.replace("top1", "top-1").replace("map", "mAP")
        checks = [check_accuracy(artifact[self.score], network[self.score], tolerance, label)]
        figures: dict[str, Any] = {}
        if self.targets.ndim == 1:
            checks.append(check_answers(found, self.reference, tolerance, "labelled images"))
            figures["agreement"] = 100 * float((found.argmax(1) == self.reference.argmax(1)).mean())
        # Labels moved on by one class: an artifact whose classes are in another order.
        moved = self.compute(np.roll(found, 1, axis=1), self.targets)[self.score]
        caught = not check_accuracy(moved, network[self.score], tolerance, label).passed
        figures |= {
            "score": self.score,
            "images": len(found),
            "artifact": artifact[self.score],
            "network": network[self.score],
            "artifact_interval": artifact.get(f"{self.score}_interval"),
            "network_interval": network.get(f"{self.score}_interval"),
        }
        return TaskProof(checks, [Control("shuffled labels, by accuracy", caught, [label] if caught else [])], figures)


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
    shown = task.judge(bundle, tolerance, mode) if task is not None else TaskProof([], [], {})
    rows, moved = answer_golden(bundle, golden)
    certificate = certify(
        lambda pixels: rows if pixels is golden.pixels else answer_golden(bundle, golden, pixels)[0],
        golden, tolerance, checks + shown.checks, moved if golden.places else None,
    )  # fmt: skip
    return Proof(Certificate(certificate.checks, certificate.controls + shown.controls), shown.figures)


def answer_golden(bundle: Bundle, golden: Golden, pixels: Array | None = None) -> tuple[Array, Array]:
    """Rows of the artifact's answers to the golden inputs (or to other `pixels`), and with classes moved on by one."""
    both = []
    names = bundle.output_names
    step = 1 if golden.places else BATCH
    pixels = golden.pixels if pixels is None else pixels
    for start in range(0, len(pixels), step):
        outputs = bundle.run(pixels[start : start + step])
        moved = {
            name: np.roll(value, 1, CLASS_AXES[name])
            if name in CLASS_AXES and name in (golden.places or names)
            else value
            for name, value in outputs.items()
        }
        both.append([golden.gather(values, names) for values in (outputs, moved)])
    rows, changed = (np.concatenate(parts) for parts in zip(*both, strict=True))
    return rows, changed


def run_in_batches(function: Callable[[Array], Array], pixels: Array) -> Array:
    """`function` over portions of [N, 3, S, S], so that memory stays bounded."""
    return np.concatenate([function(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])
