"""Which network is to be exported, and what is known of it: a run, a checkpoint, or pretrained weights by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from timm.data import ImageNetInfo
from torch import nn

from rapidnet.config.export import ExportConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import Trained, load_trained, resolve_checkpoint
from rapidnet.evaluation.trained_dense import TrainedDense, is_trained_dense, load_trained_dense
from rapidnet.models import create_model, read_checkpoint
from rapidnet.runtimes.bundle import compute_file_hash

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Source:
    """A network to export. `other` is the same run's other set of weights (averaged against raw), if it has both."""

    trained: Trained | TrainedDense
    other: nn.Module | None
    provenance: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.trained.metadata["model"])


def open_source(config: ExportConfig) -> Source:
    """Open what `config.source` names; a network without trained weights is never exported.

    Raises:
        UserError: neither a run, nor a checkpoint, nor a network with pretrained weights; weights that cannot be had.
    """
    if not Path(config.source).exists() and timm.is_model(config.source):
        return open_named(config.source, None)
    path = resolve_checkpoint(config.source)
    if config.model:
        return open_named(config.model, path)
    load: Callable[..., Trained | TrainedDense] = load_trained_dense if is_trained_dense(path) else load_trained
    trained = load(path, config.weights)
    other = None
    if read_checkpoint(path).has_ema:
        other = load(path, "raw" if trained.weights == "ema" else "ema").model
    provenance = {
        "checkpoint": path.name,
        "checkpoint_sha256": compute_file_hash(path),
        "weights": trained.weights,
        "model": trained.metadata["model"],
        "model_options": trained.metadata["model_options"],
        "training_data": trained.metadata["data"],
        "training_progress": trained.metadata["progress"],
    }
    return Source(trained, other, provenance)


def open_named(name: str, checkpoint: Path | None) -> Source:
    """An ImageNet network by timm's name, with its published weights or those of a checkpoint that lacks metadata."""
    arguments: dict[str, Any] = {"checkpoint": checkpoint} if checkpoint else {"pretrained": True}
    model = create_model(name, **arguments).eval()
    cfg: Any = model.pretrained_cfg
    num_classes = int(model.num_classes)  # type: ignore[arg-type]
    if not checkpoint and not cfg.get("hf_hub_id") and not cfg.get("url") and not cfg.get("file"):
        raise UserError(f"network {name} has no pretrained weights; train it and export the run")
    classes = [f"class {index}" for index in range(num_classes)]
    if len(classes) == IMAGENET_CLASSES:
        info = ImageNetInfo()
        classes = [info.index_to_description(index) for index in range(IMAGENET_CLASSES)]
    preprocessing = Preprocessing.from_model(model, cfg["input_size"][-1])
    metadata = {"model": name, "task": "classification", "data": {}}
    provenance = {
        "checkpoint": checkpoint.name if checkpoint else str(cfg.get("hf_hub_id") or cfg.get("url") or cfg.get("file")),
        "checkpoint_sha256": compute_file_hash(checkpoint) if checkpoint else "unknown",
        "weights": "ema" if checkpoint and read_checkpoint(checkpoint).has_ema else "published",
        "model": name,
    }
    trained = Trained(model, classes, preprocessing, checkpoint or Path(name), metadata, "raw")
    return Source(trained, None, provenance)
