"""What do the formats of one export share? All that is made before the first conversion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rapidnet.config.export import ExportConfig
from rapidnet.evaluation.trained import Trained
from rapidnet.export.capture import Captured
from rapidnet.export.golden import Golden
from rapidnet.export.prove import Task
from rapidnet.export.sensitivity import LayerNoise
from rapidnet.export.source import Source
from rapidnet.runtimes.network import Array


@dataclass(frozen=True)
class Job:
    """All that the formats of one export share."""

    config: ExportConfig
    source: Source
    captured: Captured
    golden: Golden
    origins: dict[str, str]
    task: Task | None
    calibration: Array | None
    noises: list[LayerNoise]
    tolerances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What replaces the ordinary tolerances, by number format."""
    preprocessing: dict[str, Any] = field(default_factory=dict)
    """For the card, how a picture becomes the input of a detector or segmenter."""
    answers: dict[str, Any] = field(default_factory=dict)
    """For the card, how its outputs become what is found in a picture."""
    foreign: bool = False
    """The network is not ours: its operators are on no list, and its numbers alone say that they are right."""

    @property
    def kind(self) -> dict[str, str]:
        """For a row of results: which task and head a detector or segmenter has, and what of it is exported."""
        trained = self.source.trained
        if isinstance(trained, Trained):
            return {}
        return {"task": trained.task, "head": trained.network.head, "part": self.config.part}

    @property
    def name(self) -> str:
        """What a bundle's name begins with."""
        head = self.kind.get("head", "")
        part = "" if self.config.part == "whole" else f"-{self.config.part}"
        return self.source.name + (f"-{head}" if head else "") + part
