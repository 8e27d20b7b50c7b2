"""How are the parts of a run put together that detect, or name pixels: data, network, task?"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
from rich.console import Console
from torch import nn

from rapidnet.config import DenseTask, TrainConfig
from rapidnet.config.dense import choose_head, choose_long_side
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_loading import CollateSegmentation, DenseDataset, DenseTransform, collate_objects
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.data.dense_records import DenseSplit
from rapidnet.data.dense_samples import DenseSource, RecordSource
from rapidnet.data.dense_sources import open_dense
from rapidnet.data.dense_transforms import (
    DenseEvaluation,
    DetectionAugment,
    DetectionTrain,
    SegmentationAugment,
    SegmentationTrain,
)
from rapidnet.data.transforms import seed_all
from rapidnet.evaluation.trained import resolve_checkpoint
from rapidnet.models import read_checkpoint
from rapidnet.models.dense import DenseNetwork, start_from
from rapidnet.training.dense_tasks import build_dense_task
from rapidnet.training.parts import Parts

BUILTIN_VAL_LENGTH = 500
"""Held-out scenes of the built-in data."""


def build_dense_parts(config: TrainConfig, folder: Path | None, console: Console, from_init: bool) -> Parts:
    """Data, network and task of `--task detect`, `instance` or `semantic`.

    folder: of the run, for what was wrong with annotations; None leaves it to another process. from_init: start from
    --init; a resumed run does not.

    Raises:
        UserError: data, annotations under 'error', network or weights that do not fit.
    """
    assert config.task != "classify"
    train, val, log = open_sources(config, config.task, folder)
    head, long_side = choose_head(config), choose_long_side(config)
    trained_weights = bool(config.init or config.model_options.get("pretrained"))
    freeze = config.dense.freeze_batch_norm
    if freeze is None:
        # BatchNorm that was never trained has nothing to keep.
        freeze = head in ("faster_rcnn", "mask_rcnn") and trained_weights
    described = DenseNetwork(
        config.task, head, config.model, len(train.classes), config.image_size, long_side, config.dense.options,
        config.model_options, freeze,
    )  # fmt: skip
    network = start_dense_network(config, described, console, from_init)
    backbone: Any = network.backbone
    preprocessing = DensePreprocessing(
        config.image_size, long_side, backbone.features.mean, backbone.features.std, align=config.task == "semantic"
    )
    transform = build_transform(config, preprocessing)
    semantic = config.task == "semantic"
    return Parts(
        network=network,
        preprocessing=preprocessing,
        train_set=DenseDataset(train, transform, config.seed),
        val_set=DenseDataset(val, preprocessing.transform, config.seed),
        classes=train.classes,
        bad_samples=log,
        metadata=describe_dense_checkpoint(config, described, train, preprocessing),
        build_task=lambda device: build_dense_task(config.task, preprocessing),
        collate=CollateSegmentation(preprocessing.multiple, preprocessing.fill) if semantic else collate_objects,
        collate_val=collate_objects,
    )


def open_sources(
    config: TrainConfig, task: DenseTask, folder: Path | None
) -> tuple[DenseSource, DenseSource, BadSampleLog | None]:
    """Training and validation pictures, and the log of those left out; limited for a preview."""
    limit = config.limit_data or sys.maxsize
    if config.data == "builtin":
        train = BuiltinObjects("train", min(config.train_length, limit), config.image_size, task, config.seed)
        return train, BuiltinObjects("val", min(BUILTIN_VAL_LENGTH, limit), config.image_size, task), None
    found = open_dense(
        config.data, task, config.bad_samples, folder, config.val_fraction, config.seed, config.holdout, config.exclude
    )
    splits = (limit_records(split, limit, config.seed) for split in (found.train, found.val))
    train_source, val_source = (RecordSource(split, task) for split in splits)
    return train_source, val_source, found.bad_samples


def limit_records(split: DenseSplit, limit: int, seed: int) -> DenseSplit:
    """At most so many pictures, a seeded choice of them in their order."""
    if len(split.records) <= limit:
        return split
    chosen = sorted(np.random.default_rng(seed).permutation(len(split.records))[:limit].tolist())
    return replace(split, records=[split.records[index] for index in chosen])


def start_dense_network(config: TrainConfig, described: DenseNetwork, console: Console, from_init: bool) -> nn.Module:
    """The network as training starts: seeded, from another run of the same head, or on a trained backbone."""
    seed_all(config.seed)
    path = resolve_checkpoint(config.init) if config.init and from_init else None
    checkpoint = read_checkpoint(path) if path else None
    whole = checkpoint is not None and checkpoint.metadata.get("head") == described.head
    network = described.build(None if whole else path)
    if checkpoint is not None and whole:
        fresh = start_from(network, checkpoint)
        note = f"; {', '.join(fresh)} start fresh with {described.num_classes} classes" if fresh else ""
        console.print(f"weights from {config.init}{note}", highlight=False)
    elif path:
        console.print(f"the backbone's weights from {config.init}; {described.head} starts fresh", highlight=False)
    return network


def build_transform(config: TrainConfig, preprocessing: DensePreprocessing) -> DenseTransform:
    """What happens to a training picture; built-in scenes are composed and stay as they are."""
    dense, size = config.dense, config.image_size
    if config.data == "builtin":
        return DenseEvaluation(size, size)
    if config.task == "semantic":
        segmentation = SegmentationAugment(
            size, preprocessing.long_side, dense.scale or SegmentationAugment.scale, dense.crop or (size, size),
            dense.cat_max_ratio, config.augment.hflip, dense.photometric is not False,
        )  # fmt: skip
        return SegmentationTrain(segmentation, preprocessing.fill)
    sides = tuple(dense.short_sides) or (size,)
    return DetectionTrain(
        DetectionAugment(
            sides,
            preprocessing.long_side,
            dense.scale or DetectionAugment.scale,
            dense.crop or DetectionAugment.crop,
            config.augment.hflip,
        )
    )


def describe_dense_checkpoint(
    config: TrainConfig, described: DenseNetwork, train: DenseSource, preprocessing: DensePreprocessing
) -> dict[str, Any]:
    """What a checkpoint says of itself, so that it can be opened without the run's folder."""
    split = train.split if isinstance(train, RecordSource) else None
    return {
        **described.to_metadata(), "classes": train.classes, "category_ids": split.category_ids if split else [],
        "preprocessing": preprocessing.to_dict(), "timm": timm.__version__,
        "data": {
            "root": config.data, "val_fraction": config.val_fraction, "seed": config.seed, "holdout": config.holdout,
            "exclude": config.exclude, "val_length": BUILTIN_VAL_LENGTH, "image_size": config.image_size,
        },
    }  # fmt: skip
