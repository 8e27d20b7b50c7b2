"""What can be asked of rapidnet explain? The string under a field is its help text."""

from dataclasses import dataclass
from typing import Literal

from rapidnet.config.choices import Weights, check
from rapidnet.errors import nearest

PARTS = ("fields", "maps", "branches")
METHODS = ("gradcam", "occlusion", "rise")


@dataclass
class ExplainConfig:
    """Show how far classifiers see and what their answers rest on: receptive fields, class maps, dilated branches."""

    subjects: list[str]
    """Runs, checkpoints or bundles, side by side; then images, folders of them or quoted patterns to map."""
    parts: str = "all"
    """What to show, separated by commas: fields, maps, branches; all is what the subjects allow."""
    maps: str = "gradcam,occlusion"
    """How to map, separated by commas: gradcam (runs only), occlusion, rise (slow)."""
    class_name: str = ""
    """The class that is mapped; empty takes the first subject's likeliest of each image."""
    stage: int = 0
    """The stage that Grad-CAM looks at, counted from 1; 0 takes the last."""
    untrained: bool = True
    """Show each network with fresh weights beside the trained one, too."""
    field_size: int = 0
    """Height and width of the input of which fields are measured, in pixels; 0 takes the network's own."""
    data: str = ""
    """A folder of classes or with val/<class>/; empty takes the validation images of the first subject."""
    check_images: int = 100
    """How many of them fields and branches are measured on, of each class in proportion; 0 is all, held in memory."""
    map_images: int = 8
    """How many of them are mapped where no image is named."""
    masks: int = 1000
    """Masks of rise for each image."""
    seed: int = 0
    """Of the choice of images, fresh weights, masks and random maps."""
    batch_size: int = 32
    """Images in one forward pass."""
    weights: Weights = "best"
    """Of runs: the averaged weights, the raw ones, or those of the two that validated better."""
    bad_samples: Literal["error", "skip"] = "error"
    """An unreadable image: stop with its name, or skip it."""
    output: str = "explained"
    """A folder for the pictures: fields.png, maps.png, branches.png."""
    results: str = ""
    """A JSON-lines file to append a row for each subject to."""
    json: bool = False
    """Print one JSON line for each subject instead of tables."""

    def __post_init__(self) -> None:
        check(bool(self.subjects), "there is nothing to explain; name a run or a bundle")
        self.part_names = PARTS if self.parts.strip() == "all" else choose("parts", self.parts, PARTS)
        self.method_names = choose("maps", self.maps, METHODS)
        for name, least in (
            ("stage", 0), ("field_size", 0), ("check_images", 0), ("map_images", 1), ("masks", 10), ("seed", 0),
            ("batch_size", 1),
        ):  # fmt: skip
            check(getattr(self, name) >= least, f"{name} is {getattr(self, name)}; it must be at least {least}")

    @property
    def every_part(self) -> bool:
        """Whether parts that a subject does not allow are passed over in silence."""
        return self.parts.strip() == "all"


def choose(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names in `text`, in the order of `known`; raises UserError for an unknown one or none."""
    names = [word.strip() for word in text.split(",") if word.strip()]
    check(bool(names), f"{option} is empty; give at least one of {', '.join(known)}")
    for name in names:
        check(name in known, f"{option} holds '{name}'{nearest(name, list(known))}; give {', '.join(known)}")
    return tuple(name for name in known if name in names)
