"""How does a network train? The only loop: epochs, accumulation, averaging, evaluation, checkpoints, resume."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from rapidnet.config import TrainConfig
from rapidnet.data.loading import BadSampleLog, Batch, EpochSampler
from rapidnet.data.transforms import Preprocessing, seed_all
from rapidnet.evaluation.classification import build_predict, measure
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.training.checkpoint import BEST, LAST, Progress, save_checkpoint
from rapidnet.training.progress import MetricsLog, TrainDisplay
from rapidnet.training.tasks import ClassificationTask


class Interrupted(Exception):  # noqa: N818  an event, not an error
    """Training was asked to stop (Ctrl-C); the last checkpoint continues exactly there."""


@dataclass
class Run:
    """Everything one training run consists of; `network` is the bare module, `model` the one Fabric wrapped."""

    config: TrainConfig
    folder: Path
    fabric: Fabric
    network: nn.Module
    model: nn.Module
    ema: ModelEmaV3 | None
    optimizer: Optimizer
    scheduler: Scheduler
    task: ClassificationTask
    preprocessing: Preprocessing
    train_loader: DataLoader[Batch]
    train_sampler: EpochSampler
    val_loader: DataLoader[Batch]
    classes: list[str]
    bad_samples: BadSampleLog
    progress: Progress
    metadata: dict[str, Any]
    log: MetricsLog

    @property
    def updates_per_epoch(self) -> int:
        return count_updates(self.train_sampler.length, self.config)

    def save(self, name: str, with_optimizer: bool = True) -> None:
        ema = self.ema.module if self.ema is not None else None
        optimizer = self.optimizer if with_optimizer else None
        save_checkpoint(self.folder / name, self.network, ema, optimizer, self.progress, self.metadata)


def count_batches(length: int, config: TrainConfig) -> int:
    """Batches in one epoch of `length` samples; an incomplete last one is left out unless it is the only one."""
    return max(1, length // config.batch_size)


def count_updates(length: int, config: TrainConfig) -> int:
    """Optimizer updates in one epoch; what is left over at its end makes a smaller last accumulation."""
    return -(-count_batches(length, config) // config.accumulate)


def fit(run: Run, display: TrainDisplay, stop: Callable[[], bool]) -> None:
    """Train until the last epoch, or until `patience` epochs brought nothing better.

    Raises:
        Interrupted: `stop()` became true; last.safetensors holds the exact state.
        UserError: an unreadable image under the policy 'error', a full disk.
    """
    config, progress = run.config, run.progress
    while progress.epoch < config.epochs and not progress.done:
        train_epoch(run, display, stop)
        row = summarize_epoch(run)
        last = progress.epoch + 1 == config.epochs
        is_best = False
        if last or (progress.epoch + 1) % config.evaluate_every == 0:
            row |= evaluate_epoch(run, display)
            ema_top1 = row.get("ema_top1", -1.0)
            progress.better_weights = "ema" if ema_top1 >= row["val_top1"] else "raw"
            top1 = max(row["val_top1"], ema_top1)
            is_best = top1 > progress.best_top1
            if is_best:
                progress.best_top1, progress.best_epoch = top1, progress.epoch + 1
        progress.epoch += 1
        progress.samples = progress.correct = progress.seen = 0
        progress.loss_sum = progress.seconds = 0.0
        progress.done = bool(config.patience) and progress.epoch - progress.best_epoch >= config.patience
        # The last checkpoint comes last: whatever a crash leaves before it is made again by resuming.
        if is_best:
            run.save(BEST, with_optimizer=False)
        run.log.write(row)
        run.save(LAST)
        display.finish_epoch(row, is_best)


def train_epoch(run: Run, display: TrainDisplay, stop: Callable[[], bool]) -> None:
    """One pass over the training images, from where `progress` says."""
    config, progress = run.config, run.progress
    run.model.train()
    run.train_sampler.set_epoch(progress.epoch, progress.samples)
    batches = count_batches(run.train_sampler.length, config)
    first = progress.samples // config.batch_size
    run.optimizer.zero_grad()
    started = time.perf_counter()
    for position, batch in enumerate(run.train_loader, start=first):
        run.bad_samples.record(batch.bad)
        group_end = (position + 1) % config.accumulate == 0 or position + 1 == batches
        group = min(config.accumulate, batches - position // config.accumulate * config.accumulate)
        if len(batch.targets) >= 2:
            train_batch(run, batch, position, group, group_end)
        elif group_end:
            update(run)
        progress.samples += len(batch.keys)
        now = time.perf_counter()
        progress.seconds, started = progress.seconds + now - started, now
        seen = max(progress.seen, 1)
        display.step(progress.epoch, progress.loss_sum / seen, 100 * progress.correct / seen, seen / progress.seconds)
        if group_end and stop():
            run.save(LAST)
            raise Interrupted


def train_batch(run: Run, batch: Batch, position: int, group: int, group_end: bool) -> None:
    """Forward and backward of one batch of an accumulation of `group` batches, and the update at its end."""
    config, progress, fabric = run.config, run.progress, run.fabric
    # Mixing, erasing, dropout and stochastic depth follow from the position alone, so a resumed run repeats them.
    seed_all(config.seed, 1, progress.epoch, position)
    images, targets = fabric.to_device(batch.images), fabric.to_device(batch.targets)
    images, targets = run.task.prepare(images, targets)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    images = images.contiguous(memory_format=layout)
    logits: Tensor = run.model(images)
    loss = run.task.loss(logits, targets)
    fabric.backward(loss / group)
    progress.loss_sum += loss.item() * len(images)
    progress.correct += run.task.count_correct(logits.detach(), targets)
    progress.seen += len(images)
    if group_end:
        update(run)


def update(run: Run) -> None:
    """One optimizer step with the gradients at hand, at the schedule's learning rate."""
    progress = run.progress
    run.scheduler.step_update(progress.updates)
    if run.config.optimizer.clip_grad:
        run.fabric.clip_gradients(run.model, run.optimizer, max_norm=run.config.optimizer.clip_grad)
    run.optimizer.step()
    run.optimizer.zero_grad()
    progress.updates += 1
    if run.ema is not None:
        run.ema.update(run.network, step=progress.updates)


def summarize_epoch(run: Run) -> dict[str, Any]:
    """The training half of an epoch's row; loss in nats, top-1 in percent."""
    progress = run.progress
    seen = max(progress.seen, 1)
    return {
        "epoch": progress.epoch + 1,
        "loss": progress.loss_sum / seen,
        "train_top1": 100 * progress.correct / seen,
        "lr": run.optimizer.param_groups[0]["lr"],
        "images_per_s": progress.seen / max(progress.seconds, 1e-9),
        "seconds": progress.seconds,
        "bad_samples": len(run.bad_samples.paths),
    }


def evaluate_epoch(run: Run, display: TrainDisplay) -> dict[str, Any]:
    """The validation half of an epoch's row: raw and averaged weights."""
    row: dict[str, Any] = {}
    for name, model in (("val", run.network), ("ema", run.ema.module if run.ema is not None else None)):
        if model is not None:
            result = evaluate_network(run, model, display.evaluate).compute()
            row |= {f"{name}_top1": result["top1"], f"{name}_loss": result["nll"]}
    return row


def evaluate_network(
    run: Run, model: nn.Module, on_progress: Callable[[int, int], None] = lambda images, total: None
) -> ClassificationMeter:
    """A meter filled with the validation images' probabilities under the run's precision."""
    done, total = 0, len(run.val_loader.sampler)  # type: ignore[arg-type]

    def count(images: int) -> None:
        nonlocal done
        done += images
        on_progress(done, total)

    model.eval()
    meter = ClassificationMeter(run.classes)
    predict = build_predict(model, run.preprocessing, run.config.channels_last, run.fabric.autocast)
    measure(predict, run.val_loader, meter, run.bad_samples, count)
    return meter


@contextmanager
def catch_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop after the current update; a second one stops at once."""
    asked = False

    def ask(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
