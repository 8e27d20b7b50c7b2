"""How is one run of a study trained, by whom, and how is it known to be finished?

A run's folder is STUDY/CHANGE/seed_N; beside it lies a lock that its worker holds. The system lets go of the lock when
the worker ends, however it ends, so any number of workers may share a folder and none waits for a dead one.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from rapidnet.config import TrainConfig
from rapidnet.environment import read_rows, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.evaluation.measures import MEASURES
from rapidnet.experiments.effect import Plan
from rapidnet.experiments.study import Study, folder_name
from rapidnet.training.resume import CONFIG, refuse_other_options
from rapidnet.training.train import run_train

TRIAL = "trial.json"
"""What a run's folder holds once it is finished, and not before."""


@dataclass(frozen=True)
class Trial:
    """One run: a change (or the baseline) with one seed."""

    study: str
    change: str
    seed: int
    plan: Plan
    folder: Path
    steps: int

    @property
    def finished(self) -> bool:
        return (self.folder / TRIAL).is_file()

    @property
    def config(self) -> TrainConfig:
        """As rapidnet train takes it; what was begun in the folder goes on."""
        return replace(
            self.plan.config, seed=self.seed, epochs=self.plan.epochs, steps=self.steps, output=str(self.folder),
            restart=True,
        )  # fmt: skip

    def read(self) -> dict[str, Any]:
        """The finished run's row."""
        row: dict[str, Any] = json.loads((self.folder / TRIAL).read_text(encoding="utf-8"))
        return row


def list_trials(study: Study, plans: dict[str, Plan], root: Path, steps: int) -> list[Trial]:
    """Every run of a study, seed by seed, so that whole pairs are there early; `steps` of a preview, or 0.

    Raises:
        UserError: the folder holds a run of the same name with other options.
    """
    trials = [
        Trial(study.name, name, seed, plan, root / folder_name(name) / f"seed_{seed}", steps or study.steps)
        for seed in study.seeds
        for name, plan in plans.items()
    ]
    for trial in trials:
        if (trial.folder / CONFIG).is_file():
            refuse_other_options(trial.config, trial.folder)
    return trials


@contextmanager
def claim(trial: Trial) -> Iterator[bool]:
    """Whether this worker has the run for itself while the block runs; another one may hold it."""
    trial.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{trial.folder}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def train_trial(trial: Trial, console: Console) -> int:
    """Train or go on with a claimed run and write its row; returns the exit code, above 0 if interrupted.

    Raises:
        UserError: as `train`, with the run's name.
    """
    try:
        code = run_train(trial.config, console)
    except UserError as error:
        raise UserError(f"{trial.change}, seed {trial.seed}: {error}") from error
    if code == 0:
        write_text_atomically(trial.folder / TRIAL, json.dumps(describe(trial)))
    return code


def describe(trial: Trial) -> dict[str, Any]:
    """A finished run's row: the last epoch's score, of the averaged weights if the run averages.

    Not the best epoch's: choosing it on the validation images and reporting on the same ones flatters.
    """
    rows, config = read_rows(trial.folder / "metrics.jsonl"), trial.config
    measure = MEASURES["multilabel" if config.labels else "classification"]
    score = rows[-1][f"{'ema' if config.ema_decay else 'val'}_{measure.score}"]
    return {
        "study": "ablation", "name": trial.study, "change": trial.change, "seed": trial.seed,
        "measure": measure.label, "score": score, "epochs": len(rows), "steps": trial.steps,
        "image_size": config.image_size, "params_m": trial.plan.params_m, "macs_m": trial.plan.macs_m,
        "train_seconds": round(sum(row["seconds"] for row in rows), 1),
        "config": asdict(config), "environment": json.loads((trial.folder / "environment.json").read_text()),
    }  # fmt: skip
