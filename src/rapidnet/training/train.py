"""How is a training run put together? Model, data, task and optimizer from a config, then the loop."""

import json
import logging
import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import timm
import torch
import yaml
from lightning_fabric import Fabric
from rich.console import Console
from timm.utils import ModelEmaV3
from torch import nn

from rapidnet.config import TrainConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import open_splits
from rapidnet.data.loading import BadSampleLog, EpochSampler, ImageFolder, SizedDataset, build_loader
from rapidnet.data.transforms import Preprocessing, build_train_transform, seed_all
from rapidnet.environment import describe_environment, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import resolve_checkpoint
from rapidnet.memory import keep_freed_memory
from rapidnet.models import create_model, load_weights, read_checkpoint
from rapidnet.models.factory import Checkpoint
from rapidnet.training.checkpoint import LAST, Progress, restore_optimizer, restore_weights
from rapidnet.training.finish import finish
from rapidnet.training.loop import (
    Interrupted,
    Run,
    catch_interrupt,
    count_batches,
    count_updates,
    fit,
)
from rapidnet.training.optim import build_optimizer, build_scheduler
from rapidnet.training.progress import MetricsLog, TrainDisplay
from rapidnet.training.tasks import ClassificationTask


def run_train(config: TrainConfig, console: Console | None = None) -> int:
    """The train command: 0 when finished, 130 when interrupted (then --resume goes on)."""
    console = console or Console()
    try:
        train(config, console)
    except Interrupted:
        folder = config.resume or config.output
        console.print(f"interrupted; [bold]rapidnet train --resume {folder}[/bold] continues exactly here")
        return 130
    return 0


def train(config: TrainConfig, console: Console) -> Path:
    """Train as configured and return the run folder.

    Raises:
        Interrupted: Ctrl-C; the run can be resumed.
        UserError: data, options or checkpoint that do not fit.
    """
    keep_freed_memory()
    config, checkpoint = resume_config(config)
    folder = prepare_folder(config, resumed=checkpoint is not None)
    try:
        run = build_run(config, folder, console, checkpoint)
    except UserError:
        # Nothing was trained: leave no folder that the corrected command would have to avoid.
        if checkpoint is None:
            shutil.rmtree(folder)
        raise
    if run.progress.done or run.progress.epoch >= config.epochs:
        console.print(f"{folder} is complete: {run.progress.epoch} epochs, best top-1 {run.progress.best_top1:.2f}%")
        return folder
    describe_run(run, console)
    per_epoch = count_batches(run.train_sampler.length, config)
    done = run.progress.epoch * per_epoch + run.progress.samples // config.batch_size
    with TrainDisplay(console, config.epochs, per_epoch, done) as display, catch_interrupt() as stop:
        if run.progress.updates == 0:
            run.save(LAST)
        fit(run, display, stop)
    run.log.close()
    finish(run, console)
    return folder


def resume_config(config: TrainConfig) -> tuple[TrainConfig, Checkpoint | None]:
    """The config to train with and the checkpoint to go on from, if --resume asks for one."""
    if not config.resume:
        return config, None
    folder = Path(config.resume)
    if not (folder / "config.yaml").is_file() or not (folder / LAST).is_file():
        raise UserError(
            f"--resume {folder} is not a run folder: it has no config.yaml and {LAST}; give the run's folder"
        )
    default = TrainConfig(resume=config.resume)
    ignored = [field.name for field in fields(config) if getattr(config, field.name) != getattr(default, field.name)]
    if ignored:
        raise UserError(
            f"--resume takes every option from {folder}/config.yaml, so --{ignored[0].replace('_', '-')} "
            "would have no effect; leave it out or start a new run with --init"
        )
    saved = TrainConfig.from_dict(yaml.safe_load((folder / "config.yaml").read_text()))
    saved.output = str(folder)
    return saved, read_checkpoint(folder / LAST)


def prepare_folder(config: TrainConfig, resumed: bool) -> Path:
    """Make the run folder with config.yaml and environment.json; refuses one that holds anything."""
    folder = Path(config.output)
    if not resumed and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output {folder} is not empty; choose another folder, or continue it with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    if not resumed:
        write_text_atomically(folder / "config.yaml", yaml.safe_dump(_plain(asdict(config)), sort_keys=False))
    name = "environment.json" if not resumed else f"environment-resumed-{len(list(folder.glob('environment*')))}.json"
    write_text_atomically(folder / name, json.dumps(describe_environment(), indent=2))
    return folder


def build_run(config: TrainConfig, folder: Path, console: Console, checkpoint: Checkpoint | None) -> Run:
    """Build every part of a run and, if resuming, put back what the checkpoint holds."""
    # Fabric announces its precision by itself; describe_run says it in place.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    seed_all(config.seed)
    preprocessing = Preprocessing.from_model(build_network(config, 2), config.image_size, config.crop_pct)
    train_set, val_set = build_datasets(config, preprocessing)
    classes = train_set.classes

    fabric = Fabric(accelerator="auto", devices=1, precision=choose_precision(config.precision))
    network = start_network(config, len(classes), console, from_init=checkpoint is None).to(fabric.device)
    ema = ModelEmaV3(network, config.ema_decay, use_warmup=config.ema_warmup) if config.ema_decay else None
    optimizer = build_optimizer(network, config.optimizer)
    progress = Progress()
    if checkpoint is not None:
        progress = Progress(**checkpoint.metadata["progress"])
        restore_weights(network, checkpoint, "model.")
        if ema is not None:
            restore_weights(ema.module, checkpoint, "ema.")
        restore_optimizer(optimizer, checkpoint)
    scheduler = build_scheduler(optimizer, config.optimizer, config.epochs, count_updates(len(train_set), config))
    if progress.updates:
        scheduler.step_update(progress.updates - 1)
    model, optimizer = fabric.setup(network, optimizer)

    workers = choose_workers(config.workers)
    sampler = EpochSampler(len(train_set), config.seed)
    val_sampler = EpochSampler(len(val_set), config.seed, shuffle=False)
    return Run(
        config, folder, fabric, network, model, ema, optimizer, scheduler,
        task=ClassificationTask(len(classes), config.augment, preprocessing),
        preprocessing=preprocessing,
        train_loader=build_loader(train_set, sampler, config.batch_size, workers, train=True),
        train_sampler=sampler,
        val_loader=build_loader(val_set, val_sampler, config.batch_size, workers, train=False),
        classes=classes,
        bad_samples=BadSampleLog(config.bad_samples, folder / "quarantine.txt"),
        progress=progress,
        metadata={
            "model": config.model, "model_options": config.model_options, "classes": classes,
            "preprocessing": preprocessing.to_dict(), "timm": timm.__version__,
            "data": {
                "root": config.data, "val_fraction": config.val_fraction, "seed": config.seed,
                "holdout": config.holdout, "exclude": config.exclude, "val_length": BUILTIN_VAL_LENGTH,
            },
        },
        log=MetricsLog(folder, progress.epoch),
    )  # fmt: skip


def build_network(config: TrainConfig, num_classes: int) -> nn.Module:
    """The configured network, randomly initialised, for so many classes."""
    options: dict[str, Any] = {**config.model_options, "num_classes": num_classes}
    return create_model(config.model, **options)


def start_network(config: TrainConfig, num_classes: int, console: Console, from_init: bool) -> nn.Module:
    """The network as training starts: seeded, or from --init with a fresh head where the classes differ."""
    seed_all(config.seed)
    network = build_network(config, num_classes)
    if config.init and from_init:
        replaced = load_weights(network, read_checkpoint(resolve_checkpoint(config.init)))
        note = f"; {', '.join(replaced)} starts fresh with {num_classes} classes" if replaced else ""
        console.print(f"weights from {config.init}{note}")
    return network.to(memory_format=torch.channels_last) if config.channels_last else network


def build_datasets(config: TrainConfig, preprocessing: Preprocessing) -> tuple[SizedDataset, SizedDataset]:
    """Training and validation images, from a folder or built in."""
    if config.data == "builtin":
        train = BuiltinScenes("train", config.train_length, config.image_size, config.seed)
        return train, BuiltinScenes("val", BUILTIN_VAL_LENGTH, config.image_size)
    train_split, val_split = open_splits(config.data, config.val_fraction, config.seed, config.holdout, config.exclude)
    transform = build_train_transform(config.augment, preprocessing)
    val_transform = preprocessing.build_transform()
    return ImageFolder(train_split, transform, config.seed), ImageFolder(val_split, val_transform, config.seed)


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


def describe_run(run: Run, console: Console) -> None:
    config = run.config
    parameters = sum(p.numel() for p in run.network.parameters())
    console.print(
        f"{config.model}, {parameters / 1e6:.2f} M parameters, {len(run.classes)} classes; "
        f"{run.train_sampler.length} training and {len(run.val_loader.sampler)} validation images "  # type: ignore[arg-type]
        f"at {config.image_size} px; "
        f"{choose_precision(config.precision)} on {run.fabric.device.type}; into {run.folder}"
    )


def _plain(value: Any) -> Any:
    # YAML knows lists and mappings only.
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
