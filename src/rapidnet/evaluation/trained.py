"""How is a trained network opened, by run folder or checkpoint, with the classes and preprocessing it needs?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from rapidnet.config import Weights
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.evaluation.measures import MEASURES, Measure
from rapidnet.models import create_model, load_weights, read_checkpoint
from rapidnet.models.factory import Checkpoint

CHECKPOINTS = ("best.safetensors", "last.safetensors")


@dataclass
class Trained:
    """A network in eval mode with its class names, preprocessing, file and the training's metadata."""

    model: nn.Module
    classes: list[str]
    preprocessing: Preprocessing
    path: Path
    metadata: dict[str, Any]
    weights: Literal["ema", "raw"]

    @property
    def measure(self) -> Measure:
        """How its task is judged."""
        return MEASURES[self.task]

    @property
    def task(self) -> str:
        """classification, or multilabel where an image may carry several labels."""
        return str(self.metadata.get("task", "classification"))


def resolve_checkpoint(run: str | Path) -> Path:
    """The checkpoint meant by a path: the file itself, or the best (else the last) one of a run folder."""
    path = Path(run)
    if not path.is_dir():
        return path
    for name in CHECKPOINTS:
        if (path / name).is_file():
            return path / name
    raise UserError(f"{path} is not a run folder: it holds neither {' nor '.join(CHECKPOINTS)}; give a finished run")


def load_trained(run: str | Path, weights: Weights = "best") -> Trained:
    """Open a run folder or one of our checkpoints; `weights` as in `EvaluateConfig`.

    Raises:
        UserError: no such file, or a checkpoint without our metadata (then only its weights are known).
    """
    path = resolve_checkpoint(run)
    checkpoint = read_checkpoint(path)
    meta = checkpoint.metadata
    if "model" not in meta:
        raise UserError(
            f"checkpoint {path} does not say its network and classes, so it cannot be used by itself; "
            "fine-tune from it with rapidnet train --init, or load it with rapidnet.create_model(name, checkpoint=...)"
        )
    if "head" in meta:
        raise UserError(
            f"checkpoint {path} is of --task {meta['task']}, and a classifier is needed here; evaluate, predict and "
            "export take it as it is"
        )
    model = create_model(meta["model"], **(meta["model_options"] | {"num_classes": len(meta["classes"])}))
    used = choose_weights(checkpoint, weights)
    load_weights(model, checkpoint, use_ema=used == "ema")
    return Trained(model.eval(), meta["classes"], Preprocessing.from_dict(meta["preprocessing"]), path, meta, used)


def choose_weights(checkpoint: Checkpoint, weights: Weights) -> Literal["ema", "raw"]:
    """Which weights of a checkpoint of ours are meant: the averaged ones only where it has any."""
    chosen = checkpoint.metadata["progress"]["better_weights"] if weights == "best" else weights
    return "ema" if chosen == "ema" and checkpoint.has_ema else "raw"
