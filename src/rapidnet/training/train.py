"""How does the train command go from a config to a finished run?"""

import shutil
from pathlib import Path

from rich.console import Console

from rapidnet.config import TrainConfig
from rapidnet.errors import UserError
from rapidnet.memory import keep_freed_memory
from rapidnet.training.build import build_fabric, build_run, choose_precision
from rapidnet.training.checkpoint import LAST
from rapidnet.training.choose import describe_balance
from rapidnet.training.distributed import Ranks
from rapidnet.training.finish import finish
from rapidnet.training.loop import fit
from rapidnet.training.progress import TrainDisplay
from rapidnet.training.resume import prepare_folder, resume_config
from rapidnet.training.run import Run
from rapidnet.training.signals import Interrupted, listen


def run_train(config: TrainConfig, console: Console | None = None) -> int:
    """The train command: 0 when finished, 128 + the signal's number when interrupted (then --resume goes on)."""
    console = console or Console()
    try:
        train(config, console)
    except Interrupted as interrupted:
        folder = config.resume or config.output
        console.print(f"interrupted; [bold]rapidnet train --resume {folder}[/bold] continues exactly here")
        return 128 + interrupted.signum
    return 0


def train(config: TrainConfig, console: Console) -> Path:
    """Train as configured and return the run folder.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; the run can be resumed.
        UserError: data, options or checkpoint that do not fit.
    """
    keep_freed_memory()
    # From here on a signal waits for the next update: nothing is lost while a run is put together.
    with listen() as requests:
        config, checkpoint = resume_config(config, console)
        fabric = build_fabric(config)
        ranks = Ranks(fabric)
        if not ranks.is_first:
            console = Console(quiet=True)
        folder = Path(config.output)
        if ranks.is_first:
            prepare_folder(config, resumed=checkpoint is not None)
        ranks.wait()
        try:
            run = build_run(config, fabric, console, checkpoint)
        except UserError:
            # Nothing was trained: leave no folder that the corrected command would have to avoid.
            if checkpoint is None and ranks.is_first:
                shutil.rmtree(folder)
            raise
        progress = run.progress
        if progress.done:
            best = f"best {run.measure.label} {progress.best_score:.2f}%"
            console.print(f"{folder} is complete: {progress.epoch} epochs, {best}")
            return folder
        describe_run(run, console)
        per_epoch = run.batches_per_epoch
        done = progress.epoch * per_epoch + progress.samples // config.batch_size
        with TrainDisplay(console, config.epochs, per_epoch, done, run.measure) as display:
            if progress.updates == 0:
                run.save(LAST)
            fit(run, display, requests)
        if run.log is not None:
            run.log.close()
        finish(run, console)
    return folder


def describe_run(run: Run, console: Console) -> None:
    config = run.config
    processes = f" in {run.ranks.world} processes" if run.ranks.world > 1 else ""
    parameters = sum(p.numel() for p in run.network.parameters())
    console.print(
        f"{config.model}, {parameters / 1e6:.2f} M parameters, {len(run.classes)} classes; "
        f"{run.train_sampler.length} training and {run.val_images} validation images "
        f"at {config.image_size} px; "
        f"{choose_precision(config.precision)} on {run.fabric.device.type}{processes}; into {run.folder}"
    )
    if balance := describe_balance(config, run.train_set):
        console.print(balance, highlight=False, markup=False)
