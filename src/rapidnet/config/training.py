"""What can be asked of a training run? The string under a field is its help text."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from rapidnet.config.choices import BadSamples, check
from rapidnet.config.dense import DenseConfig, check_dense
from rapidnet.config.distillation import DistillationConfig
from rapidnet.config.optimizer import OptimizerConfig


@dataclass
class AugmentConfig:
    """What happens to a training image and its label."""

    crop_scale: tuple[float, float] = (0.35, 1.0)
    """Smallest and largest share of the image's area that a random crop keeps."""
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    """Smallest and largest aspect ratio of a random crop."""
    hflip: float = 0.5
    """Probability of a horizontal flip; 0 where left and right matter, as for digits."""
    color_jitter: float = 0.0
    """Strength of brightness, contrast and saturation jitter."""
    rand_augment: str = ""
    """A RandAugment setting of timm, such as rand-m9-mstd0.5-inc1; empty turns it off."""
    random_erasing: float = 0.0
    """Probability of erasing a random rectangle with noise."""
    mixup: float = 0.0
    """Mixup alpha; 0 turns it off."""
    cutmix: float = 0.0
    """CutMix alpha; 0 turns it off."""
    mix_prob: float = 1.0
    """Probability that a batch is mixed at all when mixup or cutmix is on."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        check(0 < low <= high <= 1, f"augment.crop_scale is {self.crop_scale}; it must rise within (0, 1]")
        for name in ("hflip", "random_erasing", "mix_prob", "label_smoothing"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"augment.{name} is {value}; it must lie between 0 and 1")


@dataclass
class TrainConfig:
    """Train a network on a folder of images (or on the built-in data) into a run folder."""

    data: str = ""
    """A folder of classes or with train/ and val/ of them, tar shards (folder, URL, pattern), hf:NAME or 'builtin'."""
    task: Literal["classify", "detect", "instance", "semantic"] = "classify"
    """Name images, find boxes, find boxes with masks (both from COCO folders; YOLO for boxes), or name every pixel."""
    model: str = "rapidnet_ti"
    """Any network of timm, for other tasks the backbone; ours are rapidnet_ti, rapidnet_s, rapidnet_m, rapidnet_b."""
    model_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the network, such as {drop_path_rate: 0.1}."""
    epochs: int = 30
    """Passes over the training images."""
    image_size: int = 224
    """Height and width of the network's input, in pixels; for boxes, masks and pixels the short side."""
    first_image_size: int = 0
    """Train the first epoch at this size; it rises to image_size over the first four fifths of the run. 0 does not."""
    repeated_augment: int = 1
    """Views of each image in an epoch, which then has as many fewer images."""
    output: str = "runs/train"
    """The run folder to write; must be new or empty."""
    batch_size: int = 64
    """Images in one forward pass, over all processes together."""
    accumulate: int = 1
    """Forward passes summed into one optimizer step."""
    val_fraction: float = 0.1
    """Share of each class held out when the folder has no val/ of its own (seeded, stratified)."""
    holdout: bool = False
    """Hold out val_fraction of train even if there is a val/: for tuning, so that val stays unseen."""
    exclude: str = ""
    """Leave images out: a pattern of file names such as 'IMG_00*', or a text file of paths such as quarantine.txt."""
    labels: str = ""
    """A CSV with the columns file (relative to --data), labels (several, separated by |) and perhaps split."""
    group_regex: str = ""
    """Never split images whose paths give the same first group, such as 'patient(\\d+)', into train and val."""
    balance: Literal["none", "sampling", "loss"] = "none"
    """Help rare classes: draw their images more often, or let these count more in the loss."""
    balance_power: float = 1.0
    """How far sampling goes: 1 draws every class equally often, 0.5 goes half the way, 0 would change nothing."""
    balance_beta: float = 0.999
    """How far the loss goes: near 1 a class counts inversely to its images, 0 would change nothing."""
    crop_pct: float = 0.0
    """Share of the resized image that evaluation crops; 0 takes the network's own value."""
    init: str = ""
    """A checkpoint or run folder to start from; a head of another size is replaced and said so."""
    resume: str = ""
    """A run folder to continue exactly where it stopped; every other option comes from that run."""
    restart: bool = False
    """Continue the run in --output if it was begun with the same options, else begin it: for jobs that are requeued."""
    save_steps: int = 0
    """Write last.safetensors after every so many optimizer steps, besides every epoch; 0 never."""
    save_minutes: float = 15.0
    """Write last.safetensors whenever so many minutes have passed; 0 never."""
    fake_quantize: bool = False
    """Round weights and activations to 8 bits on the way, so that an int8 artifact of this run loses less."""
    freeze: list[str] = field(default_factory=list)
    """Parts of the network to keep as they are, such as [stem, stages.0, stages.1]."""
    sync_bn: bool = True
    """Take BatchNorm's statistics over the batches of all processes."""
    steps: int = 0
    """A preview: stop after so many optimizer steps, evaluate and finish; 0 trains all epochs."""
    limit_data: int = 0
    """A preview: use at most so many training and validation images, some of each class; 0 uses all."""
    ema_decay: float = 0.9998
    """Decay of the averaged weights per optimizer step; 0 turns averaging off."""
    ema_warmup: bool = True
    """Let the decay rise from 0 so that short runs forget the random start."""
    evaluate_every: int = 1
    """Evaluate after every so many epochs, and after the last."""
    patience: int = 0
    """Stop after so many epochs without a better validation score; 0 never stops early."""
    seed: int = 0
    """Seeds the split, the order, the augmentation and the initial weights."""
    workers: int = -1
    """Processes that read images; 0 reads in the training process, -1 takes 0 on a CPU and up to 8 beside a GPU."""
    precision: Literal["auto", "bf16-mixed", "16-mixed", "32-true", "64-true"] = "auto"
    """Number format of the forward pass; auto takes bf16 where the machine has it."""
    channels_last: bool = True
    """Lay tensors out as NHWC, faster for convolutions on most machines."""
    bad_samples: BadSamples = "error"
    """An unreadable image: stop with its name, skip it, or skip it and list it in quarantine.txt."""
    train_length: int = 20_000
    """Scenes in one epoch of the built-in data (fresh ones every epoch)."""
    results: str = ""
    """A JSON-lines file to append a row with the last epoch's accuracy to."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    dense: DenseConfig = field(default_factory=DenseConfig)

    def __post_init__(self) -> None:
        check(self.epochs >= 1, f"epochs is {self.epochs}; it must be at least 1")
        check(self.image_size >= 32, f"image_size is {self.image_size}; the network needs at least 32 pixels")
        first = self.first_image_size
        check(
            first == 0 or 32 <= first < self.image_size, f"first_image_size is {first}; it must lie in [32, image_size)"
        )
        check(self.repeated_augment >= 1, f"repeated_augment is {self.repeated_augment}; it must be at least 1")
        check(self.batch_size >= 2, f"batch_size is {self.batch_size}; BatchNorm needs at least 2")
        check(self.evaluate_every >= 1, f"evaluate_every is {self.evaluate_every}; it must be at least 1")
        check(self.accumulate >= 1, f"accumulate is {self.accumulate}; it must be at least 1")
        for name in ("save_steps", "save_minutes", "steps", "limit_data"):
            check(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must not be negative")
        check(not (self.resume and self.restart), "give --resume RUN or --restart with --output RUN, not both")
        check(0 < self.val_fraction < 1, f"val_fraction is {self.val_fraction}; it must lie between 0 and 1")
        check(0 <= self.crop_pct <= 1, f"crop_pct is {self.crop_pct}; it must lie between 0 and 1")
        check(0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}; it must lie in [0, 1)")
        check(0 < self.balance_power <= 1, f"balance_power is {self.balance_power}; it must lie in (0, 1]")
        check(0 < self.balance_beta < 1, f"balance_beta is {self.balance_beta}; it must lie between 0 and 1")
        self._refuse_what_has_no_effect()
        check_dense(self)
        check(bool(self.data or self.resume), "nothing to train on; give --data DIR, --data builtin or --resume RUN")

    def _refuse_what_has_no_effect(self) -> None:
        """Built-in scenes are composed, not cropped and flipped; a folder has the images it has."""
        builtin = self.data == "builtin"
        grouping = ["labels", "group_regex", "balance", "first_image_size"]
        unused = ["val_fraction", "holdout", "exclude", "crop_pct", *grouping] if builtin else ["train_length"]
        for spec in fields(self):
            unset = spec.name not in unused or getattr(self, spec.name) == spec.default
            check(unset, f"{spec.name} has no effect on --data {self.data}; leave it out")
        if builtin:
            default = AugmentConfig()
            for name in ("crop_scale", "crop_ratio", "hflip", "color_jitter", "rand_augment"):
                unset = getattr(self.augment, name) == getattr(default, name)
                check(unset, f"augment.{name} has no effect on --data builtin; leave it out")

        for name, wanted in (("balance_power", "sampling"), ("balance_beta", "loss")):
            unset = self.balance == wanted or getattr(self, name) == getattr(TrainConfig, name)
            check(unset, f"{name} has no effect on balance {self.balance}; leave it out or take balance {wanted}")
        both = self.repeated_augment > 1 and self.balance == "sampling"
        check(
            not both, "repeated_augment has no effect with balance sampling, which repeats rare images; leave one out"
        )
        taught = bool(self.labels) and bool(self.distillation.teacher)
        check(not taught, "distillation.teacher has no effect with several labels an image; leave it or labels out")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The config that a run folder's config.yaml holds."""

        def tuples(name: str) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in values.get(name, {}).items()}

        parts = {
            "optimizer": OptimizerConfig(**values["optimizer"]), "augment": AugmentConfig(**tuples("augment")),
            "distillation": DistillationConfig(**tuples("distillation")),
            "dense": DenseConfig.from_dict(values.get("dense", {})),
        }  # fmt: skip
        merged: dict[str, Any] = {**values, **parts}
        return cls(**merged)


@dataclass
class TeacherCacheConfig(TrainConfig):
    """Ask a teacher once about every view a training run will see, and keep its answers in a folder."""

    output: str = "runs/teacher"
    """The folder to write; an interrupted one goes on."""
    store: Literal["logits", "hard"] = "logits"
    """Keep every class's logit, or only the class the teacher names (enough for hard distillation)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(bool(self.distillation.teacher), "nobody to ask; give --distillation.teacher")
        check(self.balance == "none", "balance has no effect on a teacher cache; leave it out")
        check(not self.resume, "resume has no effect on a teacher cache; run the same command again to go on")
