"""What is wrong with annotations, where, and what was done about it? Everything is named and counted; nothing is mended
in the files."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapidnet.config import BadSamples
from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.environment import write_text_atomically
from rapidnet.errors import UserError

FLAWS = {
    "unusable image": "the image is left out",
    "malformed image": "the image is left out",
    "duplicate image": "the second one is left out",
    "image size": "the image is left out",
    "missing mask": "the image is left out",
    "unusable mask": "the image is left out",
    "mask size": "the image is left out",
    "mask class": "the image is left out",
    "mask without image": "the mask is left out",
    "labels without image": "the labels are left out",
    "malformed annotation": "the annotation is left out",
    "duplicate annotation": "the second one is left out",
    "unknown image": "the annotation is left out",
    "unknown category": "the annotation is left out",
    "empty box": "the annotation is left out",
    "box outside": "the box is clipped, or left out where nothing of it is inside",
    "empty outline": "the annotation is left out",
    "malformed outline": "the annotation is left out",
}
"""What can be wrong -> what becomes of it unless the policy is 'error'."""


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong: its kind (a key of FLAWS), where (file, annotation or line), and how."""

    kind: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass
class AnnotationReport:
    """What was found in one source of annotations.

    counts holds what is no flaw but worth knowing: images, images without objects, objects, crowds, boxes clipped
    by less than a pixel, pixels by class, ...
    """

    source: str
    flaws: list[Flaw] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[BadSample] = field(default_factory=list)
    """Whole images that are not used."""

    def add(self, kind: str, where: str, why: str, image: str = "") -> None:
        """Note a flaw; `image` is the path of an image left out for it."""
        assert kind in FLAWS, kind
        self.flaws.append(Flaw(kind, where, why))
        if image:
            self.left_out.append(BadSample(image, f"{where}: {why}"))

    def by_kind(self) -> dict[str, list[Flaw]]:
        """The flaws of each kind that occurs, in the order of FLAWS."""
        return {kind: found for kind in FLAWS if (found := [flaw for flaw in self.flaws if flaw.kind == kind])}

    def summarize(self) -> str:
        """One line: how many flaws of each kind, with the first of each; empty without any."""
        kinds = [f"{len(found)}x {kind} (first: {found[0]})" for kind, found in self.by_kind().items()]
        return f"{self.source}: " + "; ".join(kinds) if kinds else ""

    def to_dict(self) -> dict[str, Any]:
        """Everything, in values that JSON can hold."""
        return {
            "source": self.source,
            "counts": dict(self.counts),
            "flaws": {
                kind: {
                    "count": len(found),
                    "done": FLAWS[kind],
                    "found": [{"where": flaw.where, "why": flaw.why} for flaw in found],
                }
                for kind, found in self.by_kind().items()
            },
        }


def settle(reports: list[AnnotationReport], policy: BadSamples, folder: Path | None = None) -> BadSampleLog:
    """Carry out the policy for what was found; the log returned goes on counting while images are read.

    Args:
        policy: 'error' refuses annotations with any flaw, 'skip' goes on, 'quarantine' goes on and writes what was
            found into `folder`: annotation_flaws.json (all), quarantine.txt (images left out).
    Raises:
        UserError: flaws under 'error'; every kind is counted and its first case named.
    """
    found = [line for report in reports if (line := report.summarize())]
    if policy == "error" and found:
        raise UserError(" | ".join(found) + "; mend them, or pass --bad-samples skip or quarantine")
    if policy == "quarantine" and folder is not None and found:
        rows = [report.to_dict() for report in reports]
        write_text_atomically(folder / "annotation_flaws.json", json.dumps(rows, indent=2))
    log = BadSampleLog(policy, None if folder is None else folder / "quarantine.txt")
    log.record([sample for report in reports for sample in report.left_out])
    return log
