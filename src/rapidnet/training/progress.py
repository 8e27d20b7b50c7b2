"""What does the person at the terminal see while a network trains, and what stays in the run folder?"""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from rapidnet.environment import append_row, read_rows, write_text_atomically
from rapidnet.evaluation.measures import MEASURES, Measure


class TrainDisplay:
    """A progress bar over all epochs with loss, score, images/s and time left, and one line per finished epoch."""

    def __init__(
        self,
        console: Console,
        epochs: int,
        batches_per_epoch: int,
        done: int,
        measure: Measure = MEASURES["classification"],
    ) -> None:
        self.console, self.epochs, self.per_epoch, self.measure = console, epochs, batches_per_epoch, measure
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  " + measure.train_label),
            TextColumn(
                ("{task.fields[score]:.1f}%  " if measure.train_label else "") + "{task.fields[rate]:.0f} img/s"
            ),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task(
            "", total=epochs * batches_per_epoch, completed=done, epoch=1, loss=0.0, score=0.0, rate=0.0
        )

    def __enter__(self) -> "TrainDisplay":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(self, epoch: int, loss: float, score: float, rate: float) -> None:
        """One batch done; score in percent, rate in images per second."""
        self.bar.update(self.task, advance=1, epoch=epoch + 1, loss=loss, score=score, rate=rate)

    def evaluate(self, images: int, total: int) -> None:
        """So many of the validation images are done; all of them clear the note."""
        self.bar.update(self.task, description=f"evaluating {images}/{total}" if images < total else "")

    def finish_epoch(self, row: dict[str, Any], is_best: bool) -> None:
        """Print the line that stays."""
        score, trained = self.measure.score, row.get(f"train_{self.measure.train_score}")
        # Where training and validation count different things, both say what.
        differ = self.measure.train_label != self.measure.label
        train_name, val_name = (f"{self.measure.train_label} ", f"{self.measure.label} ") if differ else ("", "")
        parts = [
            f"epoch {row['epoch']:>3}/{self.epochs}",
            f"loss {row['loss']:.3f}",
        ]
        parts += [] if trained is None else [f"train {train_name}{trained:.1f}%"]
        for name in ("val", "ema"):
            if (value := row.get(f"{name}_{score}")) is not None:
                parts += [f"{name} {val_name if name == 'val' else ''}{value:.2f}%"]
        parts += [f"{row['images_per_s']:.0f} img/s", "[green]best[/green]" if is_best else ""]
        self.console.print("  ".join(parts).rstrip())


class MetricsLog:
    """Rows of metrics.jsonl, and the same numbers as TensorBoard events."""

    def __init__(self, run: Path, finished_epochs: int) -> None:
        self.path = run / "metrics.jsonl"
        rows = read_rows(self.path) if self.path.exists() else []
        if kept := [row for row in rows if row["epoch"] <= finished_epochs]:
            # A crash may come between an epoch's row and its checkpoint; the resumed run writes that row again.
            write_text_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        else:
            self.path.unlink(missing_ok=True)
        self.writer = SummaryWriter(str(run / "tensorboard"))

    def write(self, row: dict[str, Any]) -> None:
        append_row(self.path, row)
        for name, value in row.items():
            if name != "epoch" and isinstance(value, int | float):
                self.writer.add_scalar(name, value, row["epoch"])
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
