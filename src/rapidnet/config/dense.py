"""What can be asked of a detector or segmenter when it is trained? The string under a field is its help text."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rapidnet.config.choices import check

if TYPE_CHECKING:
    from rapidnet.config.training import TrainConfig

HEADS = {"detect": ("fcos", "faster_rcnn"), "instance": ("mask_rcnn",), "semantic": ("semantic_fpn",)}
"""Task -> the heads that do it, its default first."""
LONG_SIDES = {"fcos": 1.0, "faster_rcnn": 1333 / 800, "mask_rcnn": 1333 / 800, "semantic_fpn": 4.0}
"""Head -> the long side's bound as a multiple of the short side's: the recipes' (COCO, ADE20K), and a square."""


@dataclass
class DenseConfig:
    """The head of a detector or segmenter, and how its training pictures vary."""

    head: Literal["", "fcos", "faster_rcnn", "mask_rcnn", "semantic_fpn"] = ""
    """fcos or faster_rcnn to detect, mask_rcnn for instance, semantic_fpn for semantic; empty takes the first."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further settings of the head, such as {pyramid_channels: 128}; docs/detection.md, segmentation.md list them."""
    freeze_batch_norm: bool | None = None
    """Keep BatchNorm of the backbone as it is; null does for the two R-CNNs that start from --init."""
    long_side: int = 0
    """The long side of pictures, in pixels, at most; 0 takes 1, 1.67 or 4 times image_size (fcos, R-CNN, semantic)."""
    short_sides: list[int] = field(default_factory=list)
    """Short sides of training pictures, one of which is drawn; empty takes image_size."""
    scale: tuple[float, float] | None = None
    """A training picture's size varies by a factor drawn from here; null is 1 for boxes, 0.5 to 2 for semantic."""
    crop: tuple[int, int] | None = None
    """Height and width of a random window; null is all of the picture for boxes, image_size for semantic."""
    cat_max_ratio: float = 0.75
    """For semantic: draw a window again where one class covers a larger share of it."""
    photometric: bool | None = None
    """For semantic: vary brightness, contrast, saturation and hue of training pictures; null does."""

    def __post_init__(self) -> None:
        check(self.long_side >= 0, f"dense.long_side is {self.long_side}; it must not be negative")
        check(min(self.short_sides, default=32) >= 32, f"dense.short_sides is {self.short_sides}; give 32 or more")
        low, high = self.scale or (1.0, 1.0)
        check(0 < low <= high, f"dense.scale is {self.scale}; it must rise from above 0")
        check(min(self.crop or (32,)) >= 32, f"dense.crop is {self.crop}; give 32 pixels or more")
        check(0 < self.cat_max_ratio <= 1, f"dense.cat_max_ratio is {self.cat_max_ratio}; it must lie in (0, 1]")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DenseConfig":
        """As config.yaml holds it, where tuples are lists."""
        pairs = {key: tuple(values[key]) for key in ("scale", "crop") if values.get(key) is not None}
        return cls(**{**values, **pairs})


def choose_head(config: "TrainConfig") -> str:
    """The head asked for, or the task's default; the task is not classify."""
    return config.dense.head or HEADS[config.task][0]


def choose_long_side(config: "TrainConfig") -> int:
    """The long side of pictures, in pixels, at most."""
    return config.dense.long_side or round(LONG_SIDES[choose_head(config)] * config.image_size)


# What only classification knows: options of the run, and of its augmentation.
CLASSIFICATION = ("labels", "group_regex", "balance", "first_image_size", "crop_pct", "fake_quantize")
CLASSIFICATION_AUGMENT = (
    "crop_scale", "crop_ratio", "color_jitter", "rand_augment", "random_erasing", "mixup", "cutmix", "mix_prob",
    "label_smoothing",
)  # fmt: skip
SEMANTIC = ("cat_max_ratio", "photometric")


def check_dense(config: "TrainConfig") -> None:
    """Raise UserError for what has no effect on the task, and for a head of another task."""
    dense, default = config.dense, DenseConfig()
    changed = [name for name, value in asdict(dense).items() if value != getattr(default, name)]
    if config.task == "classify":
        check(not changed, f"dense.{'/'.join(changed[:1])} has no effect on --task classify; leave it out")
        scaled = config.optimizer.backbone_lr_scale != 1
        check(not scaled, "optimizer.backbone_lr_scale has no effect on --task classify; optimizer.layer_decay has")
        return
    known = HEADS[config.task]
    check(
        dense.head in ("", *known),
        f"dense.head {dense.head} is not for --task {config.task}; take {' or '.join(known)}",
    )
    for name in CLASSIFICATION:
        unset = getattr(config, name) == getattr(type(config), name)
        check(unset, f"{name} has no effect on --task {config.task}; leave it out")
    for name in CLASSIFICATION_AUGMENT:
        unset = getattr(config.augment, name) == getattr(type(config.augment), name)
        check(unset, f"augment.{name} has no effect on --task {config.task}; leave it out, or see the dense options")
    check(not config.distillation.teacher, f"distillation.teacher has no effect on --task {config.task}; leave it out")
    check(
        not config.optimizer.layer_decay, f"optimizer.layer_decay has no effect on --task {config.task}; leave it out"
    )
    unused = [name for name in changed if name in SEMANTIC and config.task != "semantic"]
    check(not unused, f"dense.{'/'.join(unused[:1])} has no effect on --task {config.task}; leave it out")
    if config.data == "builtin":
        drawn = [name for name in changed if name not in ("head", "options", "freeze_batch_norm")]
        check(not drawn, f"dense.{'/'.join(drawn[:1])} has no effect on --data builtin; leave it out")
    check(
        not dense.long_side or dense.long_side >= config.image_size,
        f"dense.long_side is {dense.long_side}, below image_size {config.image_size}; it bounds the longer side",
    )
