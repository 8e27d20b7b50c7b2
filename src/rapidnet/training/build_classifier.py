"""How are the parts of a classifier's run put together: data, network, task?"""

import sys
from typing import Any

import timm
import torch
from rich.console import Console
from torch import nn

from rapidnet.config import TrainConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import limit_split
from rapidnet.data.labels import limit_labelled, open_labels
from rapidnet.data.loading import ImageFolder, SizedDataset, collate
from rapidnet.data.sources import open_splits
from rapidnet.data.transforms import Preprocessing, build_train_transform, seed_all
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import resolve_checkpoint
from rapidnet.models import create_model, load_weights, read_checkpoint
from rapidnet.training.choose import build_task, choose_sizes
from rapidnet.training.parts import Parts
from rapidnet.training.teacher import Guide, build_teacher
from rapidnet.training.teacher_cache import CachedGuide, describe_view, is_cache

BUILTIN_VAL_LENGTH = 2000
"""Held-out scenes of the built-in data: +-1.3 points at 90%."""


def build_parts(config: TrainConfig, console: Console, from_init: bool) -> Parts:
    """Data, network and task of `--task classify`; from_init: start from --init, which a resumed run does not.

    Raises:
        UserError: data, network or weights that do not fit.
    """
    preprocessing = Preprocessing.from_model(build_network(config, 2), config.image_size, config.crop_pct)
    train_set, val_set = build_datasets(config, preprocessing)
    classes = train_set.classes
    return Parts(
        network=start_network(config, len(classes), console, from_init),
        preprocessing=preprocessing,
        train_set=train_set,
        val_set=val_set,
        classes=classes,
        bad_samples=None,
        metadata=describe_checkpoint(config, classes, preprocessing),
        build_task=lambda device: build_task(
            config, train_set, preprocessing, build_guide(config, train_set, preprocessing, device)
        ),
        collate=collate,
        collate_val=collate,
    )


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
    return network


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
