"""How is a trained detector or segmenter opened, with the classes and preprocessing it needs?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from rapidnet.config import Weights
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import choose_weights, resolve_checkpoint
from rapidnet.models import read_checkpoint
from rapidnet.models.checkpoint_keys import unwrap_state_dict
from rapidnet.models.dense import DenseNetwork


@dataclass
class TrainedDense:
    """A detector or segmenter in eval mode; `network` says what it is, `metadata` is the training's.

    category_ids: the classes' numbers in the training's annotations, empty where these have none.
    """

    model: nn.Module
    network: DenseNetwork
    classes: list[str]
    category_ids: list[int]
    preprocessing: DensePreprocessing
    path: Path
    metadata: dict[str, Any]
    weights: Literal["ema", "raw"]

    @property
    def task(self) -> str:
        return self.network.task


def is_trained_dense(run: str | Path) -> bool:
    """Whether a run folder or checkpoint holds a detector or segmenter of ours; raises UserError as opening it."""
    return "head" in read_checkpoint(resolve_checkpoint(run)).metadata


def load_trained_dense(run: str | Path, weights: Weights = "best") -> TrainedDense:
    """Open a run folder or one of our checkpoints; `weights` as in `EvaluateConfig`.

    Raises:
        UserError: no such file, or one that holds no detector or segmenter.
    """
    path = resolve_checkpoint(run)
    checkpoint = read_checkpoint(path)
    meta = checkpoint.metadata
    if "head" not in meta:
        raise UserError(f"checkpoint {path} holds no detector or segmenter; give a run of --task detect or semantic")
    network = DenseNetwork.from_metadata(meta)
    model = network.build()
    used = choose_weights(checkpoint, weights)
    model.load_state_dict(unwrap_state_dict(checkpoint.tensors, use_ema=used == "ema"))
    return TrainedDense(
        model.eval(), network, meta["classes"], meta["category_ids"],
        DensePreprocessing.from_dict(meta["preprocessing"]), path, meta, used,
    )  # fmt: skip
