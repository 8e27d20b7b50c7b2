"""How is the network of a task made, a detector or a segmenter, from what a run says of it?"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from rapidnet.config import DenseTask
from rapidnet.errors import UserError
from rapidnet.models.checkpoint_keys import BODY, unwrap_state_dict
from rapidnet.models.detection import create_detector
from rapidnet.models.factory import Checkpoint
from rapidnet.models.segmentation import create_segmenter


@dataclass(frozen=True)
class DenseNetwork:
    """What a checkpoint says of its network, but for its weights.

    head: fcos, faster_rcnn, mask_rcnn or semantic_fpn. backbone: a timm name, with its options. options: settings of
    the head. freeze_batch_norm: None leaves it to the head. Pictures fit within short_side and long_side, in pixels.
    """

    task: DenseTask
    head: str
    backbone: str
    num_classes: int
    short_side: int
    long_side: int
    options: dict[str, Any]
    backbone_options: dict[str, Any]
    freeze_batch_norm: bool | None = None

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> "DenseNetwork":
        """As `to_metadata` wrote it into a checkpoint."""
        preprocessing = metadata["preprocessing"]
        return cls(
            metadata["task"], metadata["head"], metadata["model"], len(metadata["classes"]),
            preprocessing["short_side"], preprocessing["long_side"], restore(metadata["head_options"]),
            metadata["model_options"], metadata["freeze_batch_norm"],
        )  # fmt: skip

    def to_metadata(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, beside its classes and preprocessing."""
        values = asdict(self)
        return {
            "task": self.task, "head": self.head, "model": self.backbone, "head_options": values["options"],
            "model_options": values["backbone_options"], "freeze_batch_norm": self.freeze_batch_norm,
        }  # fmt: skip

    def build(self, backbone_checkpoint: str | Path | None = None) -> nn.Module:
        """The network, randomly initialised but for a backbone's weights from a file, if one is given.

        Raises:
            UserError: as `create_detector` and `create_segmenter`; a size among the options of the head.
        """
        for name in ("min_size", "max_size"):
            if name in self.options:
                raise UserError(f"dense.options.{name} would contradict image_size and dense.long_side; set these")
        common: dict[str, Any] = {
            "backbone_checkpoint": backbone_checkpoint, "backbone_options": self.backbone_options, **self.options,
        }  # fmt: skip
        if self.task == "semantic":
            freeze = bool(self.freeze_batch_norm)
            try:
                return create_segmenter(self.backbone, self.num_classes, freeze_batch_norm=freeze, **common)
            except TypeError as error:
                raise UserError(f"dense.options do not fit semantic_fpn: {error}") from error
        detector = create_detector(
            self.backbone, self.num_classes, self.head, freeze_batch_norm=self.freeze_batch_norm,
            min_size=self.short_side, max_size=self.long_side, **common,
        )  # fmt: skip
        transform: Any = detector.transform
        # Training pictures come in the size that augmentation gave them.
        transform.keep_training_sizes = True
        return detector


def restore(options: dict[str, Any]) -> dict[str, Any]:
    """Settings as their heads compare them: JSON has lists only."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def start_from(network: nn.Module, checkpoint: Checkpoint, use_ema: bool = True) -> list[str]:
    """Load the weights of another run's whole network of this task; returns the layers that keep their fresh weights
    because their shape differs, as those of other classes do.

    Raises:
        UserError: a checkpoint of another network.
    """
    state, own = unwrap_state_dict(checkpoint.tensors, use_ema), network.state_dict()
    if set(state) != set(own):
        odd = sorted(set(state) ^ set(own))[0]
        raise UserError(f"checkpoint {checkpoint.path} is of another network: '{odd}' is only in one of the two")
    fresh = {key for key, value in state.items() if value.shape != own[key].shape}
    if any(key.startswith(BODY) for key in fresh):
        raise UserError(f"checkpoint {checkpoint.path} has another backbone; give one of the same network")
    network.load_state_dict({key: own[key] if key in fresh else value for key, value in state.items()})
    return sorted({key.rpartition(".")[0] for key in fresh})
