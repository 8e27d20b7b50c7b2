"""What can be asked of the shorter commands? The string under a field is its help text."""

from dataclasses import dataclass
from typing import Literal

from rapidnet.config.choices import BadSamples, Weights, check


@dataclass
class EvaluateConfig:
    """Measure a trained network or a bundle on labelled images: with intervals, per class, and pictures of it."""

    run: str
    """A run folder, a checkpoint file or an exported bundle."""
    data: str = ""
    """Data of the run's kind: a folder of classes or with val/<class>/, COCO, ...; empty takes that of the run."""
    labels: str = ""
    """A CSV of labels, for --data and a run whose images carry several."""
    weights: Weights = "best"
    """The averaged weights (if there are any), the raw ones, or those of the two that validated better."""
    fold: bool = False
    """Fold the network for deployment first; the answers are the same."""
    batch_size: int = 0
    """Images in one forward pass; 0 takes 64, for a detector or segmenter 4."""
    predictions: bool = False
    """Write the answers of a detector (detections.json, COCO results) or segmenter (masks/) into the output, too."""
    json: bool = False
    """Print one JSON line instead of tables."""
    output: str = ""
    """A folder for evaluation.jsonl and the pictures; evaluation/ beside the checkpoint if empty."""
    bad_samples: BadSamples = "error"
    """An unreadable image: stop with its name, skip it, or skip it and list it in quarantine.txt."""

    def __post_init__(self) -> None:
        check(self.batch_size >= 0, f"batch_size is {self.batch_size}; it must not be negative")


@dataclass
class InfoConfig:
    """Describe a network: parameters, MACs, activations, shapes and receptive field, before and after folding."""

    model: str
    """A network's name, a run folder or a checkpoint file."""
    image_size: int = 0
    """Height and width of the input, in pixels; 0 takes the network's own."""
    num_classes: int = 1000
    """Classes of a network given by name."""
    results: str = ""
    """A JSON-lines file to append a row with these numbers to."""
    json: bool = False
    """Print JSON instead of tables."""


@dataclass
class AuditConfig:
    """Look over a folder of images for what would hurt training; the folder is never changed."""

    data: str
    """A folder with train/<class>/ and val/<class>/, or one folder of classes; or tar shards or hf:NAME."""
    output: str = ""
    """A folder for report.json and quarantine.txt; empty prints only."""
    near: int = 4
    """Perceptual hashes up to so many bits apart count as near duplicates (of 64)."""
    max_pixels: int = 100_000_000
    """Images with more pixels count as oversized and are not decoded."""


@dataclass
class BuiltinConfig:
    """Write the built-in data (handwritten digits on photographs) as a folder with boxes and masks."""

    output: str = "builtin"
    """The folder to write; must be new or empty."""
    image_size: int = 64
    """Height and width of a scene, in pixels."""
    train_length: int = 1000
    """Scenes in train/."""
    val_length: int = 500
    """Scenes in val/."""
    seed: int = 0
    """Another seed gives other scenes."""


@dataclass
class ShardConfig:
    """Pack a folder of images into a few large tar files (WebDataset) to train from, here or from a URL."""

    data: str
    """A folder with train/<class>/ and val/<class>/ or of classes, other shards, or hf:NAME; it is only read."""
    output: str = "shards"
    """The folder or URL (such as s3://bucket/flowers) to write; must be new or empty."""
    shard_size_mb: int = 256
    """A shard is full at so many megabytes (of 1,000,000 bytes)."""
    images_per_shard: int = 0
    """A shard is full at so many images instead; 0 goes by size."""
    val_fraction: float = 0.1
    """Share of each class put into val shards when the data has no val/ of its own (seeded, stratified)."""
    exclude: str = ""
    """Leave images out: a pattern of file names such as 'IMG_00*', or a text file of paths such as quarantine.txt."""
    seed: int = 0
    """Seeds the split and the order of the images in the shards."""

    def __post_init__(self) -> None:
        check(self.shard_size_mb >= 1, f"shard_size_mb is {self.shard_size_mb}; it must be at least 1")
        check(self.images_per_shard >= 0, f"images_per_shard is {self.images_per_shard}; it must not be negative")
        check(
            not self.images_per_shard or self.shard_size_mb == ShardConfig.shard_size_mb,
            "shard_size_mb has no effect beside images_per_shard; give one of them",
        )
        check(0 < self.val_fraction < 1, f"val_fraction is {self.val_fraction}; it must lie between 0 and 1")


@dataclass
class QuickstartConfig:
    """Train, evaluate, fold, prove and predict on the built-in data, and write one HTML report."""

    task: Literal["classify", "detect", "semantic"] = "classify"
    """Name one digit, find up to five of them, or name every pixel."""
    output: str = ""
    """The folder to write, runs/quickstart or runs/quickstart_TASK if empty; an earlier quickstart is replaced."""
    seed: int = 0
    """Seeds the weights, the scenes and their order."""
    epochs: int = 0
    """Epochs of training; 0 takes the recipe's."""
    results: str = ""
    """A JSON-lines file to append this run's row to."""
