"""What can be asked of the optimizer and its learning rate? The string under a field is its help text."""

from dataclasses import dataclass, field
from typing import Any, Literal

from rapidnet.config.choices import check


@dataclass
class OptimizerConfig:
    """Optimizer and learning rate."""

    name: str = "adamw"
    """Any optimizer of timm, such as adamw, muon, lamb or sgd."""
    lr: float = 2e-3
    """Peak learning rate for one optimizer step."""
    lr_batch: int = 0
    """Images per optimizer step that lr is meant for; other numbers scale it linearly. 0 takes lr as it is."""
    layer_decay: float = 0.0
    """Factor by which the learning rate falls with each layer away from the head, for fine-tuning; 0 turns it off."""
    backbone_lr_scale: float = 1.0
    """Factor on the learning rate of a detector's or segmenter's backbone, such as 0.1 when --init trained it."""
    weight_decay: float = 0.05
    """Decoupled weight decay; biases, BatchNorm and layer scales are exempt."""
    warmup_epochs: float | None = None
    """Length of the linear warm-up, in epochs; null takes a tenth of the run, at most 5 epochs."""
    warmup_lr: float = 1e-6
    """Learning rate at the first step of the warm-up."""
    schedule: Literal["cosine", "linear", "poly", "step"] = "cosine"
    """How the learning rate falls from its peak to min_lr; step falls to a tenth at each of the milestones."""
    power: float = 0.9
    """The power of the fall for schedule poly."""
    milestones: list[float] = field(default_factory=list)
    """When schedule step falls, in epochs, such as [8, 11]."""
    min_lr: float = 1e-5
    """Learning rate at the end of the fall."""
    cooldown_epochs: float = 0.0
    """Epochs at min_lr after the fall, counted within --epochs."""
    clip_grad: float = 0.0
    """Largest gradient norm; 0 turns clipping off."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the optimizer, such as {momentum: 0.9}."""

    def __post_init__(self) -> None:
        check(self.lr > 0, f"optimizer.lr is {self.lr}; it must be above 0")
        check(self.power > 0, f"optimizer.power is {self.power}; it must be above 0")
        check(
            (self.schedule == "step") == bool(self.milestones) and self.milestones == sorted(self.milestones),
            f"optimizer.milestones is {self.milestones}; schedule step needs rising ones, others have none",
        )
        check(self.lr_batch >= 0, f"optimizer.lr_batch is {self.lr_batch}; it must not be negative")
        check(0 <= self.layer_decay <= 1, f"optimizer.layer_decay is {self.layer_decay}; it must lie in (0, 1]")
        check(self.weight_decay >= 0, f"optimizer.weight_decay is {self.weight_decay}; it must not be negative")
        check(
            self.backbone_lr_scale > 0, f"optimizer.backbone_lr_scale is {self.backbone_lr_scale}; it must be above 0"
        )
        check(
            (self.warmup_epochs or 0) >= 0, f"optimizer.warmup_epochs is {self.warmup_epochs}; it must not be negative"
        )
