"""What can be asked of predict, whose answers are printed, or written as Parquet by one process or many?"""

from dataclasses import dataclass
from typing import Literal

from rapidnet.config.choices import Weights, check

# An option that only bulk predictions heed -> what has to be given with it.
NEEDS = {
    "part_images": "output", "threads": "output", "as_listed": "output",
    "ray_address": "engine", "ray_workers": "engine",
}  # fmt: skip
GIVEN = {"output": "--output FOLDER", "engine": "--engine ray"}


@dataclass
class PredictConfig:
    """Name what is in pictures, find objects in them or name their pixels, as the run was trained to."""

    run: str
    """A run folder, a checkpoint file or an exported bundle."""
    images: str
    """An image, a folder of images, or a quoted pattern such as 'photos/*.jpg'; or a URL such as s3://bucket/photos."""
    top: int = 5
    """How many classes to name."""
    threshold: float = 0.5
    """Keep the detections, or where an image may carry several labels the classes, at least so probable."""
    json: bool = False
    """Print one JSON line for each image instead of a table; beside --output, one about the whole."""
    save: str = ""
    """A folder for pictures with the answers drawn, and detections.json (COCO) or masks/ of a run that makes them."""
    weights: Weights = "best"
    """The averaged weights (if there are any), the raw ones, or those of the two that validated better."""
    batch_size: int = 0
    """Images in one forward pass; 0 takes 32, for a detector or segmenter 4."""
    bad_samples: Literal["error", "skip"] = "skip"
    """An unreadable image: stop with its name, or name it and go on."""
    output: str = ""
    """A folder or URL to write answers to, as Parquet; started again, the command goes on where it was stopped."""
    engine: Literal["process", "ray"] = "process"
    """Who fills --output: this process, or the workers of a Ray cluster."""
    part_images: int = 0
    """Pictures in one file of --output; 0 takes 1000, for a detector or segmenter 100."""
    threads: int = 1
    """Threads the network has in each process that fills --output."""
    as_listed: bool = False
    """Finish --output with the pictures it was begun with, whatever has come or gone since."""
    ray_address: str = ""
    """HOST:PORT of a Ray cluster, or auto; empty takes $RAY_ADDRESS, or else starts Ray on this machine."""
    ray_workers: int = 0
    """Processes of --engine ray; 0 takes the cluster's processors, divided by --threads."""

    def __post_init__(self) -> None:
        check(self.top >= 1, f"top is {self.top}; it must be at least 1")
        check(0 <= self.threshold <= 1, f"threshold is {self.threshold}; it must lie between 0 and 1")
        check(self.threads >= 1, f"threads is {self.threads}; it must be at least 1")
        for name in ("batch_size", "part_images", "ray_workers"):
            check(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must not be negative")
        for name, needed in NEEDS.items():
            check(
                self.changes(needed) or not self.changes(name),
                f"--{name.replace('_', '-')} has no effect without {GIVEN[needed]}; give that or leave it out",
            )
        check(
            not self.changes("engine") or self.changes("output"),
            "--engine ray writes its answers as Parquet; say where: --output FOLDER or --output s3://BUCKET/FOLDER",
        )
        check(not (self.output and self.save), "--save has no effect beside --output; give one of them")

    def changes(self, name: str) -> bool:
        """Whether an option has another value than its default."""
        return bool(getattr(self, name) != getattr(PredictConfig, name))
