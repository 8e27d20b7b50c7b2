"""How does a network train? The only loop: epochs, accumulation, averaging, evaluation, checkpoints, resume."""

import signal
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rapidnet.data.batches import share_rows
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.data.loading import Key
from rapidnet.data.transforms import seed_all
from rapidnet.evaluation.classification import build_predict, measure
from rapidnet.evaluation.dense import build_dense_predict, measure_dense
from rapidnet.evaluation.metrics import Meter
from rapidnet.training.checkpoint import BEST, LAST
from rapidnet.training.distributed import zero_loss
from rapidnet.training.parts import Task
from rapidnet.training.progress import TrainDisplay
from rapidnet.training.run import Run
from rapidnet.training.signals import Interrupted, Requests


def fit(run: Run, display: TrainDisplay, requests: Requests) -> None:
    """Train until the last epoch, or until `patience` epochs brought nothing better.

    Raises:
        Interrupted: a signal asked to stop; last.safetensors holds the exact state.
        UserError: an unreadable image under the policy 'error', a full disk.
    """
    config, progress = run.config, run.progress
    while (progress.updates < run.last_update and not progress.done) or progress.samples:
        train_epoch(run, display, requests)
        row = summarize_epoch(run)
        last = progress.updates >= run.last_update
        is_best = False
        if last or (progress.epoch + 1) % config.evaluate_every == 0:
            row |= evaluate_epoch(run, display, requests)
            # Without a single object there is no precision at all.
            raw, averaged = row[f"val_{run.measure.score}"] or 0.0, row.get(f"ema_{run.measure.score}", -1.0) or 0.0
            progress.better_weights = "ema" if averaged >= raw else "raw"
            is_best = max(raw, averaged) > progress.best_score
            if is_best:
                progress.best_score, progress.best_epoch = max(raw, averaged), progress.epoch + 1
        progress.epoch += 1
        progress.samples = progress.seen = 0
        progress.loss_sum = progress.correct = progress.seconds = 0.0
        progress.done = last or (bool(config.patience) and progress.epoch - progress.best_epoch >= config.patience)
        # The last checkpoint comes last: whatever a crash leaves before it is made again by resuming.
        if is_best:
            run.save(BEST, with_optimizer=False)
        if run.log is not None:
            run.log.write(row)
        run.save(LAST)
        display.finish_epoch(row, is_best)


def train_epoch(run: Run, display: TrainDisplay, requests: Requests) -> None:
    """One pass over the training images, from where `progress` says."""
    config, progress = run.config, run.progress
    run.model.train()
    for module in run.frozen:
        module.eval()
    run.train_sampler.set_epoch(progress.epoch, progress.samples)
    batches, size = run.batches_per_epoch, min(config.batch_size, run.train_sampler.length)
    first = progress.samples // size
    run.optimizer.zero_grad()
    started = saved = time.perf_counter()
    for position, batch in enumerate(run.train_loader, start=first):
        if progress.updates >= run.last_update:
            return
        run.bad_samples.record(batch.bad)
        group_end = (position + 1) % config.accumulate == 0 or position + 1 == batches
        group = min(config.accumulate, batches - position // config.accumulate * config.accumulate)
        (images,) = run.ranks.sum(len(batch.good_keys))
        if images >= 2:
            train_batch(run, batch, position, group, group_end, int(images))
        elif group_end:
            update(run)
        progress.samples += size
        now = time.perf_counter()
        progress.seconds, started = progress.seconds + now - started, now
        seen = max(progress.seen, 1)
        display.step(progress.epoch, progress.loss_sum / seen, 100 * progress.correct / seen, seen / progress.seconds)
        # An accumulation is finished first, so no checkpoint holds half-summed gradients.
        if group_end and answer(run, requests, now - saved):
            saved = now


def answer(run: Run, requests: Requests, since_save: float) -> bool:
    """Save if a signal, the number of updates or the minutes since the last save ask for it; stop if asked to."""
    config = run.config
    by_steps = bool(config.save_steps) and run.progress.updates % config.save_steps == 0
    by_time = bool(config.save_minutes) and since_save >= 60 * config.save_minutes
    stop, save = run.ranks.sum(requests.stop, by_steps or by_time or requests.save)
    requests.save = False
    if stop or save:
        run.save(LAST)
    if stop:
        raise Interrupted(requests.stop or signal.SIGTERM)
    return bool(save)


def train_batch(run: Run, batch: Any, position: int, group: int, group_end: bool, images_in_batch: int) -> None:
    """Forward and backward of one batch of an accumulation of `group` batches, and the update at its end."""
    config, progress, fabric, task = run.config, run.progress, run.fabric, run.task
    images, targets = (fabric.to_device(part) for part in task.read(batch))
    images, targets = prepare_batch(task, images, targets, batch.good_keys, (config.seed, 1, progress.epoch, position))
    if isinstance(images, Tensor):
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        images = images.contiguous(memory_format=layout)
    with fabric.autocast():
        teacher = task.guide(images, batch.good_keys) if task.guide is not None and len(images) else None
    if run.share is not None:
        good, size = set(batch.good_keys), min(config.batch_size, run.train_sampler.length)
        rows = share_rows(size, run.ranks.rank, run.ranks.world)
        run.share.total = size
        rows = [row for row, key in zip(rows, batch.keys, strict=True) if key in good]
        # A detector sees a blank picture where it has none.
        rows = rows or ([0] if isinstance(images, list) else [])
        run.share.rows = torch.tensor(rows, dtype=torch.int64, device=fabric.device)
    with fabric.no_backward_sync(run.model, enabled=not group_end):  # type: ignore[arg-type]
        output = task.forward(run.model, images, targets)
        loss = task.loss(output, targets, teacher) if len(images) else zero_loss(output)
        # Gradients are averaged over the processes, whose shares of readable images may differ.
        weight = len(images) * run.ranks.world / images_in_batch
        fabric.backward(loss * (weight / group) if weight != 1 else loss / group)
    loss_sum, correct = run.ranks.sum(loss.item() * len(images), task.count_correct(output, targets))
    progress.loss_sum += loss_sum
    progress.correct += correct
    progress.seen += images_in_batch
    if group_end:
        update(run)


def prepare_batch(task: Task, images: Any, targets: Any, keys: list[Key], seed: tuple[int, ...]) -> tuple[Any, Any]:
    """The network's input and targets: for a classifier normalised, erased and mixed.

    Mixing, and dropout and stochastic depth after it, follow from `seed` alone, so a resumed run repeats them.
    """
    images = task.prepare(images, keys)
    seed_all(*seed)
    return task.mix(images, targets)


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
    """The training half of an epoch's row; loss in nats, score in percent."""
    progress = run.progress
    seen = max(progress.seen, 1)
    for paths in run.ranks.gather(run.bad_samples.paths):
        run.bad_samples.merge(paths)
    trained = {f"train_{run.measure.train_score}": 100 * progress.correct / seen} if run.measure.train_score else {}
    return {
        "epoch": progress.epoch + 1,
        "loss": progress.loss_sum / seen,
        **trained,
        "lr": run.optimizer.param_groups[0]["lr"],
        "images_per_s": progress.seen / max(progress.seconds, 1e-9),
        "seconds": progress.seconds,
        "bad_samples": len(run.bad_samples.paths),
    }


def evaluate_epoch(run: Run, display: TrainDisplay, requests: Requests) -> dict[str, Any]:
    """The validation half of an epoch's row: raw and averaged weights."""
    row: dict[str, Any] = {}

    def show(images: int, total: int) -> None:
        display.evaluate(images, total)
        if requests.stop:
            # Evaluating changes nothing: resuming starts it again.
            run.save(LAST)
            raise Interrupted(requests.stop)

    for name, model in (("val", run.network), ("ema", run.ema.module if run.ema is not None else None)):
        if model is not None:
            result = evaluate_network(run, model, show).compute()
            score, loss = run.measure.score, run.measure.loss
            row |= {f"{name}_{score}": result[score]} | ({f"{name}_loss": result[loss]} if loss else {})
    return row


def evaluate_network(
    run: Run, model: nn.Module, on_progress: Callable[[int, int], None] = lambda images, total: None
) -> Meter:
    """A meter filled with the validation images' probabilities under the run's precision; each image counts once."""
    done, total = 0, run.val_images

    def count(images: int) -> None:
        nonlocal done
        done += images * run.ranks.world
        on_progress(min(done, total), total)

    model.eval()
    meter: Any = run.measure.build_meter(run.classes)
    if isinstance(run.preprocessing, DensePreprocessing):
        # Without autocast: there are few pictures, and a box needs more than eight bits.
        measure_dense(build_dense_predict(model, run.preprocessing), run.val_loader, meter, run.bad_samples, count)
    else:
        predict = build_predict(
            model, run.preprocessing, run.config.channels_last, run.fabric.autocast, run.measure.activate
        )
        measure(predict, run.val_loader, meter, run.bad_samples, count)
    whole: Meter
    whole, *others = run.ranks.gather(meter)
    for part in others:
        whole.merge(part)
    return whole
