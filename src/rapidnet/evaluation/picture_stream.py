"""How do the answers of predict reach a person or a program, one line a picture, as they come?"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

Item = TypeVar("Item")


class PictureStream:
    """Prints lines for the pictures in `paths`, beside a bar, and counts those that could not be read."""

    def __init__(self, config: PredictConfig, paths: Sequence[str | Path]) -> None:
        self.config, self.paths = config, paths
        self.console, self.notes = Console(), Console(stderr=True)
        self.unreadable = 0

    def track(self, predictions: Iterable[Item]) -> Iterator[Item]:
        """The predictions, one for each picture, and a bar that follows them."""
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # At a terminal, lines scroll above the bar. Where they go to a file, the bar must not catch them (rich would).
        at_terminal = self.console.is_terminal
        bar = Progress(
            *columns, console=self.console if at_terminal else self.notes, transient=True,
            redirect_stdout=at_terminal, disable=len(self.paths) == 1,
        )  # fmt: skip
        with bar:
            yield from bar.track(predictions, total=len(self.paths))

    def passes_over(self, error: str) -> bool:
        """Whether there is an error; names it, or raises UserError where the policy is to stop."""
        if not error:
            return False
        self.unreadable += 1
        if self.config.bad_samples == "error":
            raise UserError(error)
        self.notes.print(error, style="yellow", markup=False, highlight=False)
        return True

    def print_json(self, row: dict[str, Any]) -> None:
        """The row, where JSON was asked for."""
        if self.config.json:
            print(json.dumps(row), flush=True)

    def show(self, row: dict[str, Any], answers: str) -> None:
        """The row or, for a person, its `answers` (in rich's markup)."""
        self.print_json(row)
        if not self.config.json:
            line = f"{escape(row['image'])}  [bold]{answers}[/bold]"
            self.console.print(line, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Say what was saved; raises UserError if no picture could be read."""
        if self.unreadable == len(self.paths):
            raise UserError(
                f"none of the {len(self.paths)} images in {self.config.images} could be read; see the lines above"
            )
        if self.config.save:
            count = len(self.paths) - self.unreadable
            self.notes.print(f"{count} pictures in [bold]{escape(self.config.save)}[/bold]")
