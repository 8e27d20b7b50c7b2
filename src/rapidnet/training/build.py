"""How is a training run put together? Model, data, task and optimizer from a config, and what a checkpoint holds."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from lightning_fabric import Fabric
from rich.console import Console
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from rapidnet.config import OptimizerConfig, TrainConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import limit_split
from rapidnet.data.labels import limit_labelled, open_labels
from rapidnet.data.loading import EpochSampler, ImageFolder, SizedDataset, build_loader
from rapidnet.data.sources import open_splits
from rapidnet.data.transforms import Preprocessing, build_train_transform, seed_all
from rapidnet.errors import UserError, nearest
from rapidnet.evaluation.trained import resolve_checkpoint
from rapidnet.models import create_model, load_weights, read_checkpoint
from rapidnet.models.factory import Checkpoint
from rapidnet.training.checkpoint import Progress, read_progress, restore_optimizer, restore_weights
from rapidnet.training.choose import build_sampler, build_task, choose_sizes
from rapidnet.training.distributed import (
    Ranks,
    build_strategy,
    share_randomness,
    synchronise_batchnorm,
)
from rapidnet.training.fake_quantize import fake_quantize
from rapidnet.training.optim import build_optimizer, build_scheduler
from rapidnet.training.progress import MetricsLog
from rapidnet.training.run import Run, count_updates, find_scaler
from rapidnet.training.teacher import Guide, build_teacher
from rapidnet.training.teacher_cache import CachedGuide, describe_view, is_cache


def build_run(config: TrainConfig, fabric: Fabric, console: Console, checkpoint: Checkpoint | None) -> Run:
    """Build every part of a run and, if resuming, put back what the checkpoint holds.

    Raises:
        UserError: data, model, optimizer or teacher that do not fit; a batch the processes cannot share.
    """
    ranks = Ranks(fabric)
    check_shares(config, ranks.world)
    seed_all(config.seed)
    preprocessing = Preprocessing.from_model(build_network(config, 2), config.image_size, config.crop_pct)
    train_set, val_set = build_datasets(config, preprocessing)
    classes, folder = train_set.classes, Path(config.output)

    network = start_network(config, len(classes), console, from_init=checkpoint is None)
    frozen = freeze(network, config.freeze)
    if config.fake_quantize:
        fake_quantize(network)
    share = None
    if ranks.world > 1:
        share = share_randomness(network)
        network = synchronise_batchnorm(network, fabric.device) if config.sync_bn else network
    network = network.to(fabric.device)
    ema = ModelEmaV3(network, config.ema_decay, use_warmup=config.ema_warmup) if config.ema_decay else None
    optimizer = build_optimizer(network, scale_lr(config))
    bad_samples = BadSampleLog(config.bad_samples, folder / "quarantine.txt" if ranks.is_first else None)
    progress = Progress()
    if checkpoint is not None:
        progress, met = read_progress(checkpoint)
        bad_samples.merge(met)
        restore_state(checkpoint, network, ema, optimizer, fabric)
    scheduler = build_scheduler(optimizer, scale_lr(config), config.epochs, count_updates(len(train_set), config))
    if progress.updates:
        scheduler.step_update(progress.updates - 1)
    model, optimizer = fabric.setup(network, optimizer)

    guide = build_guide(config, train_set, preprocessing, fabric.device)
    workers, place = choose_workers(config.workers), (ranks.rank, ranks.world)
    sampler = build_sampler(config, train_set)
    val_sampler = EpochSampler(len(val_set), config.seed, shuffle=False)
    return Run(
        config, folder, fabric, ranks, network, model, frozen, ema, optimizer, scheduler,
        task=build_task(config, train_set, preprocessing, guide),
        preprocessing=preprocessing,
        train_set=train_set,
        train_loader=build_loader(train_set, sampler, config.batch_size, workers, True, *place),
        train_sampler=sampler,
        share=share,
        val_loader=build_loader(val_set, val_sampler, config.batch_size, workers, False, *place),
        val_images=len(val_set),
        classes=classes,
        bad_samples=bad_samples,
        progress=progress,
        metadata=describe_checkpoint(config, classes, preprocessing),
        log=MetricsLog(folder, progress.epoch) if ranks.is_first else None,
    )  # fmt: skip


def restore_state(
    checkpoint: Checkpoint, network: nn.Module, ema: ModelEmaV3 | None, optimizer: Optimizer, fabric: Fabric
) -> None:
    """Put back weights, averaged weights, optimizer and the scaler of float16 training."""
    restore_weights(network, checkpoint, "model.")
    if ema is not None:
        restore_weights(ema.module, checkpoint, "ema.")
    restore_optimizer(optimizer, checkpoint)
    if scaler := find_scaler(fabric):
        scaler.load_state_dict(checkpoint.metadata["scaler"])


def describe_checkpoint(config: TrainConfig, classes: list[str], preprocessing: Preprocessing) -> dict[str, Any]:
    """What a checkpoint says of itself, so that it can be opened without the run's folder."""
    return {
        "task": "multilabel" if config.labels else "classification",
        "model": config.model, "model_options": config.model_options, "classes": classes,
        "preprocessing": preprocessing.to_dict(), "timm": timm.__version__,
        "data": {
            "root": config.data, "val_fraction": config.val_fraction, "seed": config.seed,
            "holdout": config.holdout, "exclude": config.exclude,
            "labels": config.labels, "group_regex": config.group_regex, "val_length": BUILTIN_VAL_LENGTH,
        },
    }  # fmt: skip


def build_fabric(config: TrainConfig) -> Fabric:
    """The device, the precision and the processes to compute with."""
    # Fabric announces its precision by itself; describe_run says it in place.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator="auto", precision=choose_precision(config.precision), **build_strategy())
    fabric.launch()
    return fabric


def check_shares(config: TrainConfig, world: int) -> None:
    """batch_size counts the images of all processes together, so that a recipe means the same on any machine."""
    if world > 1 and config.batch_size % (2 * world):
        raise UserError(
            f"batch_size {config.batch_size} cannot be shared by {world} processes in pairs of images; "
            f"take a multiple of {2 * world}"
        )


def scale_lr(config: TrainConfig) -> OptimizerConfig:
    """The optimizer's settings with the learning rate for this run's images per step (linear scaling rule)."""
    optimizer = config.optimizer
    if not optimizer.lr_batch:
        return optimizer
    return replace(optimizer, lr=optimizer.lr * config.batch_size * config.accumulate / optimizer.lr_batch)


def freeze(network: nn.Module, names: list[str]) -> list[nn.Module]:
    """Keep these parts' weights and statistics as they are; returns the parts.

    Raises:
        UserError: the network has no such part, or nothing would be left to train.
    """
    parts = dict(network.named_modules())
    for name in names:
        if not name or name not in parts:
            known = [part for part in parts if part and part.count(".") <= 1]
            raise UserError(
                f"freeze: the network has no part '{name}'{nearest(name, known)}; it has {', '.join(known)}"
            )
        parts[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UserError(f"freeze {', '.join(names)} leaves nothing to train; freeze less")
    return [parts[name] for name in names]


def build_guide(
    config: TrainConfig, dataset: SizedDataset, preprocessing: Preprocessing, device: torch.device
) -> Guide | CachedGuide | None:
    """Whoever teaches, live or from a cache."""
    if not config.distillation.teacher:
        return None
    if is_cache(config.distillation.teacher):
        if config.balance == "sampling":
            raise UserError(
                f"teacher cache {config.distillation.teacher} has one answer for each image an epoch, balance sampling "
                "draws some again; take balance loss or a live teacher"
            )
        return CachedGuide(config.distillation, config.epochs, describe_view(config, dataset, preprocessing))
    return Guide(build_teacher(config.distillation, device), dataset.classes, preprocessing)


def enable_distillation(network: nn.Module) -> None:
    """Let a network with a second head train it on the teacher; any other learns from both in its one head."""
    if getattr(network, "head_dist", None) is not None and hasattr(network, "set_distilled_training"):
        network.set_distilled_training(True)  # type: ignore[operator]


def build_network(config: TrainConfig, num_classes: int) -> nn.Module:
    """The configured network, randomly initialised, for so many classes."""
    options: dict[str, Any] = {**config.model_options, "num_classes": num_classes}
    return create_model(config.model, **options)


def start_network(config: TrainConfig, num_classes: int, console: Console, from_init: bool) -> nn.Module:
    """The network as training starts: seeded, or from --init with a fresh head where the classes differ."""
    seed_all(config.seed)
    network = build_network(config, num_classes)
    if config.distillation.teacher:
        enable_distillation(network)
    if config.init and from_init:
        replaced = load_weights(network, read_checkpoint(resolve_checkpoint(config.init)))
        note = f"; {', '.join(replaced)} starts fresh with {num_classes} classes" if replaced else ""
        console.print(f"weights from {config.init}{note}")
    return network.to(memory_format=torch.channels_last) if config.channels_last else network


def build_datasets(config: TrainConfig, preprocessing: Preprocessing) -> tuple[SizedDataset, SizedDataset]:
    """Training and validation images, from a folder or built in."""
    limit = config.limit_data or sys.maxsize
    if config.data == "builtin":
        train = BuiltinScenes("train", min(config.train_length, limit), config.image_size, config.seed)
        return train, BuiltinScenes("val", min(BUILTIN_VAL_LENGTH, limit), config.image_size)
    settings = (config.data, config.val_fraction, config.seed, config.holdout, config.exclude, config.group_regex)
    splits = open_labels(config.labels, *settings) if config.labels else open_splits(*settings)
    limit_images = limit_labelled if config.labels else limit_split
    train_split, val_split = (limit_images(split, limit, config.seed) for split in splits)
    transform = build_train_transform(config.augment, preprocessing, choose_sizes(config))
    return ImageFolder(train_split, transform, config.seed), ImageFolder(val_split, preprocessing, config.seed)


BUILTIN_VAL_LENGTH = 2000
"""Held-out scenes of the built-in data: +-1.3 points at 90%."""


def choose_precision(precision: str) -> Any:
    """bf16 where the machine computes it in hardware, else float32."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if torch.cpu._is_avx512_bf16_supported() else "32-true"


def choose_workers(workers: int) -> int:
    """Processes that read images. On a CPU they would take the cores that train."""
    if workers >= 0:
        return workers
    return min(8, torch.get_num_threads()) if torch.cuda.is_available() else 0
