"""What does a training run consist of, and how many batches and updates has it?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from rapidnet.config import TrainConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.dense_loading import DenseDataset
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.data.loading import EpochSampler, SizedDataset
from rapidnet.data.transforms import Preprocessing
from rapidnet.evaluation.measures import MEASURES, Measure
from rapidnet.training.checkpoint import LAST, Progress, save_checkpoint
from rapidnet.training.distributed import BatchShare, Ranks
from rapidnet.training.parts import Task
from rapidnet.training.progress import MetricsLog


@dataclass
class Run:
    """Everything one training run consists of; `network` is the bare module, `model` the one Fabric wrapped."""

    config: TrainConfig
    folder: Path
    fabric: Fabric
    ranks: Ranks
    network: nn.Module
    model: nn.Module
    frozen: list[nn.Module]
    ema: ModelEmaV3 | None
    optimizer: Optimizer
    scheduler: Scheduler
    task: Task
    preprocessing: Preprocessing | DensePreprocessing
    train_set: SizedDataset | DenseDataset
    train_loader: DataLoader[Any]
    train_sampler: EpochSampler
    share: BatchShare | None
    val_loader: DataLoader[Any]
    val_images: int
    classes: list[str]
    bad_samples: BadSampleLog
    progress: Progress
    metadata: dict[str, Any]
    log: MetricsLog | None

    @property
    def measure(self) -> Measure:
        """How the task is judged."""
        return MEASURES[self.task.name]

    @property
    def batches_per_epoch(self) -> int:
        return count_batches(self.train_sampler.length, self.config.batch_size)

    @property
    def last_update(self) -> int:
        """How many updates the whole run has; fewer if a preview was asked for."""
        whole = self.config.epochs * count_updates(self.train_sampler.length, self.config)
        return min(whole, self.config.steps or whole)

    def save(self, name: str, with_optimizer: bool = True) -> None:
        """Write a checkpoint; only the first process does, all have the same state."""
        if not self.ranks.is_first:
            return
        ema = self.ema.module if self.ema is not None else None
        optimizer = self.optimizer if with_optimizer else None
        metadata = self.metadata | {"bad_samples": self.bad_samples.paths}
        if scaler := find_scaler(self.fabric):
            metadata["scaler"] = scaler.state_dict()
        path = self.folder / name
        save_checkpoint(path, self.network, ema, optimizer, self.progress, metadata, keep_previous=name == LAST)


def find_scaler(fabric: Fabric) -> Any:
    """The gradient scaler of float16 training, or None."""
    return getattr(fabric.strategy.precision, "scaler", None)


def count_batches(length: int, batch_size: int) -> int:
    """Batches in one epoch of `length` samples; an incomplete last one is left out unless it is the only one."""
    return max(1, length // batch_size)


def count_updates(length: int, config: TrainConfig) -> int:
    """Optimizer updates in one epoch; what is left over at its end makes a smaller last accumulation."""
    return -(-count_batches(length, config.batch_size) // config.accumulate)


Stop = Callable[[], bool]
