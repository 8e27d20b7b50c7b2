"""What can be asked of rapidnet robustness? The string under a field is its help text."""

from dataclasses import dataclass
from typing import Literal

from rapidnet.config.choices import Weights, check
from rapidnet.errors import UserError, nearest

KINDS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression", "low_light",
    "jpeg_generations", "aspect_ratio", "low_resolution", "rotation",
)  # fmt: skip
"""The corruptions; the first fifteen are those of ImageNet-C."""
ATTACKS = ("fgsm", "pgd", "autoattack")


@dataclass
class RobustnessConfig:
    """Measure classifiers on corrupted, attacked and foreign images: runs and bundles side by side, on the same."""

    subjects: list[str]
    """Run folders, checkpoint files or bundles; the others are compared with the first."""
    data: str = ""
    """A folder of classes or with val/<class>/; empty takes the validation images of the first subject."""
    check_images: int = 0
    """How many of the images, a seeded choice of each class in proportion; 0 takes all."""
    kinds: str = "all"
    """Corruptions, separated by commas; all, phone, imagenet_c (the fifteen), or none."""
    severities: str = "1,2,3,4,5"
    """Which severities."""
    imagenet_c: str = ""
    """A published ImageNet-C folder (kind/severity/class/), read as it is instead of corrupting --data."""
    against: str = ""
    """A run or bundle whose errors the mean corruption error is relative to."""
    attacks: str = ""
    """Attacks on the runs, separated by commas: fgsm, pgd, autoattack; bundles get the images made on the first run."""
    epsilons: str = "1,2,4"
    """The largest changes of a pixel's value that an attack may make, of 255."""
    pgd_steps: int = 20
    """Steps of PGD."""
    attack_images: int = 100
    """How many of the images are attacked."""
    ood: str = ""
    """Folders of images of other classes, separated by commas, to be told from one's own."""
    subset: str = ""
    """Folders with some of the classes (ImageNet-A, -R, -V2, -Sketch), separated by commas, scored over those."""
    seed: int = 0
    """Of the choice of images, the corruptions and the attacks."""
    batch_size: int = 64
    """Images in one forward pass."""
    weights: Weights = "best"
    """Of runs: the averaged weights, the raw ones, or those of the two that validated better."""
    bad_samples: Literal["error", "skip"] = "error"
    """An unreadable image: stop with its name, or skip it."""
    results: str = ""
    """A JSON-lines file to append a row for each subject to."""
    picture: str = ""
    """A file for a picture of accuracy by kind and severity, such as robustness.png."""
    json: bool = False
    """Print one JSON line for each subject instead of tables."""

    def __post_init__(self) -> None:
        check(bool(self.subjects), "there is nothing to measure; name a run or a bundle")
        self.kind_names = parse_kinds(self.kinds)
        self.severity_numbers = tuple(sorted(set(parse_numbers("severities", self.severities, 1, 5))))
        self.attack_names = parse_attacks(self.attacks)
        self.epsilon_numbers = tuple(sorted(set(parse_numbers("epsilons", self.epsilons, 1, 255))))
        self.ood_folders, self.subset_folders = split_paths(self.ood), split_paths(self.subset)
        for name, least in (
            ("check_images", 0),
            ("pgd_steps", 1),
            ("attack_images", 1),
            ("batch_size", 1),
            ("seed", 0),
        ):
            check(getattr(self, name) >= least, f"{name} is {getattr(self, name)}; it must be at least {least}")
        check(
            not self.imagenet_c or bool(self.kind_names),
            "with kinds none imagenet_c has no effect; leave one of them out",
        )


GROUPS: dict[str, tuple[str, ...]] = {"all": KINDS, "imagenet_c": KINDS[:15], "phone": KINDS[15:], "none": ()}


def parse_kinds(text: str) -> tuple[str, ...]:
    """The kinds named in `text`, in the order of KINDS; raises UserError for an unknown one."""
    named: list[str] = []
    for word in (word.strip() for word in text.split(",") if word.strip()):
        if word not in GROUPS and word not in KINDS:
            raise UserError(f"kind '{word}' is unknown{nearest(word, list(KINDS))}; give {', '.join(KINDS)}")
        named += GROUPS.get(word, (word,))
    check(bool(text.strip()), "kinds is empty; name at least one, or none")
    return tuple(kind for kind in KINDS if kind in named)


def parse_attacks(text: str) -> tuple[str, ...]:
    """The attacks named in `text`; raises UserError for an unknown one."""
    names = tuple(word.strip() for word in text.split(",") if word.strip())
    for name in names:
        check(name in ATTACKS, f"attack '{name}' is unknown{nearest(name, list(ATTACKS))}; give {', '.join(ATTACKS)}")
    return tuple(name for name in ATTACKS if name in names)


def split_paths(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def parse_numbers(name: str, text: str, least: int, most: int) -> list[int]:
    """Whole numbers separated by commas; raises UserError for anything else."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    check(bool(words), f"{name} is empty; give whole numbers from {least} to {most}, separated by commas")
    for word in words:
        right = word.isdecimal() and least <= int(word) <= most
        check(right, f"{name} holds '{word}'; give whole numbers from {least} to {most}, separated by commas")
    return [int(word) for word in words]
