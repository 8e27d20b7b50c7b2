"""How does the ablate command run a study? Every run that nobody has trained yet, then tables and a forest plot."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from rapidnet.config import AblateConfig
from rapidnet.config.experiments import BASELINE
from rapidnet.environment import append_row, describe_environment, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.evaluation.pictures import save_figure
from rapidnet.experiments.comparisons import compare_changes
from rapidnet.experiments.effect import plan_study
from rapidnet.experiments.forest import draw_forest
from rapidnet.experiments.study import read_study
from rapidnet.experiments.table import print_comparisons
from rapidnet.experiments.trials import Trial, claim, list_trials, train_trial
from rapidnet.memory import keep_freed_memory
from rapidnet.training.signals import Requests, listen

ROWS, FOREST = "ablation.jsonl", "forest.png"
FAILED = 1


def run_ablate(config: AblateConfig, console: Console | None = None) -> int:
    """The ablate command: 0 when every run is finished or another worker's, 1 if some failed, 128 + a signal's number.

    Raises:
        UserError: a study that cannot be meant, or a folder that holds another.
    """
    console = console or Console()
    keep_freed_memory()
    study = read_study(config.study, config.data, config.limit_data)
    preview = bool(config.steps or config.limit_data)
    root = Path(config.output or f"runs/{study.name}{'-preview' if preview else ''}")
    trials = list_trials(study, plan_study(study), root, config.steps)
    console.print(
        f"study [bold]{study.name}[/bold]: {len(study.configs) - 1} changes and the baseline, "
        f"{len(study.seeds)} seeds; {sum(trial.finished for trial in trials)} of {len(trials)} runs are finished"
    )
    with listen() as requests, deadline(config.minutes):
        failures = train_all(trials, requests, console)
    report(trials, root, config, console)
    for failure in failures:
        console.print(f"[red]failed:[/red] {failure}", highlight=False)
    if requests.stop:
        console.print("stopped; the same command goes on from here")
        # Minutes that are used up are no mishap.
        return 0 if config.minutes and requests.stop == signal.SIGTERM else 128 + requests.stop
    return FAILED if failures else 0


def train_all(trials: list[Trial], requests: Requests, console: Console) -> list[str]:
    """Train whatever is neither finished nor held by another worker; returns what went wrong, run by run."""
    failures: dict[Path, str] = {}
    seconds: list[float] = []
    while True:
        begun = False
        for trial in trials:
            if requests.stop:
                return list(failures.values())
            if trial.finished or trial.folder in failures:
                continue
            with claim(trial) as mine:
                # Another worker may have finished it a moment ago.
                if not mine or trial.finished:
                    continue
                begun, started = True, time.monotonic()
                console.rule(announce(trial, trials, seconds))
                try:
                    code = train_trial(trial, console)
                except UserError as error:
                    failures[trial.folder] = str(error)
                    continue
                if code:
                    requests.stop = code - 128
                seconds.append(time.monotonic() - started)
        # A worker that died in the meantime has left its run to the others.
        if not begun:
            return list(failures.values())


def announce(trial: Trial, trials: list[Trial], seconds: list[float]) -> str:
    done = sum(other.finished for other in trials)
    left = f", about {(len(trials) - done) * sum(seconds) / len(seconds) / 60:.0f} minutes left" if seconds else ""
    return f"{done + 1} of {len(trials)}  {trial.change}, seed {trial.seed}{left}"


@contextmanager
def deadline(minutes: float) -> Iterator[None]:
    """After so many minutes stop as a scheduler would: at the end of an update, with a checkpoint; 0 never does."""
    timer = threading.Timer(60 * minutes, signal.raise_signal, (signal.SIGTERM,))
    timer.daemon = True
    if minutes:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def report(trials: list[Trial], root: Path, config: AblateConfig, console: Console) -> None:
    """Tables and a forest plot of the finished runs, and their rows."""
    measured = [trial.read() for trial in trials if trial.finished]
    comparisons = compare_changes(measured)
    print_comparisons(comparisons, console)
    environment = describe_environment()
    rows: list[dict[str, Any]] = [*measured, *(row | {"environment": environment} for row in comparisons)]
    write_text_atomically(root / ROWS, "".join(json.dumps(row) + "\n" for row in rows))
    names = [ROWS]
    if any(row["change"] != BASELINE for row in comparisons):
        save_figure(draw_forest(comparisons), root / FOREST)
        names.append(FOREST)
    console.print(f"{', '.join(names)} in [bold]{root}[/bold]")
    missing = len(trials) - len(measured)
    if missing:
        console.print(
            f"{missing} of {len(trials)} runs are not finished, or another worker's; the table may still move"
        )
    elif config.results:
        for row in rows:
            append_row(config.results, row)
