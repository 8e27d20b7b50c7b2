"""What becomes of an image that cannot be read?"""

from dataclasses import dataclass
from pathlib import Path

from rapidnet.config import BadSamples
from rapidnet.environment import write_text_atomically
from rapidnet.errors import UserError


@dataclass(frozen=True)
class BadSample:
    """An image that could not be read, in place of its pixels."""

    path: str
    message: str


class BadSampleLog:
    """Carries out the policy for unreadable images and counts them.

    Args:
        policy: 'error' stops at the first one, 'skip' goes on, 'quarantine' goes on and lists them.
        quarantine: the file that lists each unreadable image once; None leaves it to another process.
    """

    def __init__(self, policy: BadSamples, quarantine: Path | None) -> None:
        self.policy, self.quarantine = policy, quarantine
        self.paths: dict[str, str] = {}

    def merge(self, paths: dict[str, str]) -> None:
        """Take over what another log counted: that of an earlier part of the run, or of another process."""
        self.record([BadSample(path, message) for path, message in paths.items()])

    def record(self, bad: list[BadSample]) -> None:
        """Raises UserError with the first image's name under 'error'."""
        for sample in bad:
            if self.policy == "error":
                raise UserError(sample.message)
            if sample.path not in self.paths:
                self.paths[sample.path] = sample.message
                if self.policy == "quarantine" and self.quarantine is not None:
                    write_text_atomically(self.quarantine, "".join(f"{path}\n" for path in self.paths))
