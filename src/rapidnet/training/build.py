"""How is a training run put together? Model, data, task and optimizer from a config, and what a checkpoint holds."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from rapidnet.config import OptimizerConfig, TrainConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.loading import EpochSampler, build_loader
from rapidnet.data.transforms import seed_all
from rapidnet.errors import UserError, nearest
from rapidnet.models.factory import Checkpoint
from rapidnet.training.build_classifier import build_parts
from rapidnet.training.build_dense import build_dense_parts
from rapidnet.training.checkpoint import Progress, read_progress, restore_optimizer, restore_weights
from rapidnet.training.choose import build_sampler
from rapidnet.training.distributed import (
    BatchShare,
    Ranks,
    build_strategy,
    share_randomness,
    synchronise_batchnorm,
)
from rapidnet.training.fake_quantize import fake_quantize
from rapidnet.training.optim import build_optimizer, build_scheduler
from rapidnet.training.progress import MetricsLog
from rapidnet.training.run import Run, count_updates, find_scaler


def build_run(config: TrainConfig, fabric: Fabric, console: Console, checkpoint: Checkpoint | None) -> Run:
    """Build every part of a run and, if resuming, put back what the checkpoint holds.

    Raises:
        UserError: data, model, optimizer or teacher that do not fit; a batch the processes cannot share.
    """
    ranks = Ranks(fabric)
    check_shares(config, ranks.world)
    seed_all(config.seed)
    folder, fresh = Path(config.output), checkpoint is None
    notes = folder if ranks.is_first else None
    classify = config.task == "classify"
    parts = build_parts(config, console, fresh) if classify else build_dense_parts(config, notes, console, fresh)
    network = parts.network.to(memory_format=torch.channels_last) if config.channels_last else parts.network
    frozen = freeze(network, config.freeze)
    if config.fake_quantize:
        fake_quantize(network)
    network, share = place_network(network, config, fabric.device, ranks.world)
    ema = ModelEmaV3(network, config.ema_decay, use_warmup=config.ema_warmup) if config.ema_decay else None
    optimizer = build_optimizer(network, scale_lr(config))
    bad_samples = parts.bad_samples or BadSampleLog(config.bad_samples, notes and notes / "quarantine.txt")
    progress = Progress()
    if checkpoint is not None:
        progress, met = read_progress(checkpoint)
        bad_samples.merge(met)
        restore_state(checkpoint, network, ema, optimizer, fabric)
    scheduler = build_scheduler(optimizer, scale_lr(config), config.epochs, count_updates(len(parts.train_set), config))
    if progress.updates:
        scheduler.step_update(progress.updates - 1)
    model, optimizer = fabric.setup(network, optimizer)

    workers, place = choose_workers(config.workers), (ranks.rank, ranks.world)
    sampler = build_sampler(config, parts.train_set)
    val_sampler = EpochSampler(len(parts.val_set), config.seed, shuffle=False)
    size = config.batch_size
    return Run(
        config, folder, fabric, ranks, network, model, frozen, ema, optimizer, scheduler,
        task=parts.build_task(fabric.device),
        preprocessing=parts.preprocessing,
        train_set=parts.train_set,
        train_loader=build_loader(parts.train_set, sampler, size, workers, True, *place, collate=parts.collate),
        train_sampler=sampler,
        share=share,
        val_loader=build_loader(parts.val_set, val_sampler, size, workers, False, *place, collate=parts.collate_val),
        val_images=len(parts.val_set),
        classes=parts.classes,
        bad_samples=bad_samples,
        progress=progress,
        metadata=parts.metadata,
        log=MetricsLog(folder, progress.epoch) if ranks.is_first else None,
    )  # fmt: skip


def place_network(
    network: nn.Module, config: TrainConfig, device: torch.device, world: int
) -> tuple[nn.Module, BatchShare | None]:
    """The network on its device; with several processes, what they draw together, too."""
    share = None
    if world > 1:
        share = share_randomness(network)
        network = synchronise_batchnorm(network, device) if config.sync_bn else network
    return network.to(device), share


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
