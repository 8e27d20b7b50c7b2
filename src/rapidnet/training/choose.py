"""Which task and which order of images does a config ask for, and how is that said?"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from rapidnet.config import TrainConfig
from rapidnet.data.balance import BalancedSampler, count_labels, weigh_classes, weigh_labels, weigh_samples
from rapidnet.data.dense_loading import DenseDataset
from rapidnet.data.loading import EpochSampler, ImageFolder, Key, SizedDataset
from rapidnet.data.transforms import Preprocessing
from rapidnet.training.multilabel import MultiLabelTask
from rapidnet.training.tasks import ClassificationTask


def build_sampler(config: TrainConfig, dataset: SizedDataset | DenseDataset) -> EpochSampler:
    """The order of the training images."""
    if config.balance == "sampling" and isinstance(dataset, ImageFolder):
        return BalancedSampler(weigh_samples(dataset.samples, len(dataset.classes), config.balance_power), config.seed)
    return EpochSampler(len(dataset), config.seed, repeats=config.repeated_augment)


def choose_sizes(config: TrainConfig) -> list[int]:
    """The training images' size in each epoch, in pixels; empty if it never changes."""
    if not config.first_image_size:
        return []
    rising = max(1, round(0.8 * (config.epochs - 1)))
    steps = [min(1.0, epoch / rising) for epoch in range(config.epochs)]
    span = config.image_size - config.first_image_size
    # Networks halve the size five times; in between sizes only the last one need not be a multiple of 32.
    return [
        config.image_size if step == 1 else max(32, (config.first_image_size + round(step * span)) // 32 * 32)
        for step in steps
    ]


def build_task(
    config: TrainConfig,
    dataset: SizedDataset,
    preprocessing: Preprocessing,
    guide: Callable[[Tensor, list[Key]], Tensor] | None = None,
) -> ClassificationTask:
    """What is learnt from the training images `dataset`; `guide` as in `ClassificationTask`."""
    num_classes, weights = len(dataset.classes), None
    if config.balance == "loss" and isinstance(dataset, ImageFolder):
        counts = count_labels(dataset.samples, num_classes)
        if config.labels:
            weights = weigh_labels(counts, len(dataset), config.balance_beta)
        else:
            weights = weigh_classes(counts, config.balance_beta)
    if config.labels:
        return MultiLabelTask(num_classes, config.augment, preprocessing, config.seed, weights)
    return ClassificationTask(
        num_classes, config.augment, preprocessing, config.distillation, guide, config.seed, weights
    )


def describe_balance(config: TrainConfig, dataset: SizedDataset | DenseDataset) -> str:
    """One line: what balancing does to the rarest and the commonest class; empty without any."""
    if config.balance == "none" or not isinstance(dataset, ImageFolder):
        return ""
    counts = count_labels(dataset.samples, len(dataset.classes))
    rare, common = int(np.where(counts > 0, counts, counts.max()).argmin()), int(counts.argmax())
    if config.balance == "sampling":
        weights = weigh_samples(dataset.samples, len(counts), config.balance_power)
        weights = weights * len(dataset) / weights.sum()
        effect = {
            label: np.mean([w for w, sample in zip(weights, dataset.samples, strict=True) if label in sample.labels])
            for label in (rare, common)
        }
        what = f"sampling (power {config.balance_power:g}), an image an epoch: "
        said = "{:.2f} times"
    else:
        per_label = weigh_labels(counts, len(dataset), config.balance_beta)[1]
        values = per_label if config.labels else weigh_classes(counts, config.balance_beta)
        effect = {label: values[label] for label in (rare, common)}
        what = f"loss (effective number of images, beta {config.balance_beta:g}), an image counts: "
        said = "{:.2f}"
    parts = [
        f"'{dataset.classes[label]}' ({counts[label]} images) {said.format(value)}" for label, value in effect.items()
    ]
    return f"balanced by {what}{', '.join(parts)}"
