"""What can be asked of a study, and of a comparison of runs? The string under a field is its help text."""

from dataclasses import dataclass, field
from typing import Any

from rapidnet.config.choices import Weights, check

BASELINE = "baseline"
"""What every change of a study is held against; no change may have its name."""
BUDGETS = ("epochs", "steps")


@dataclass
class StudyConfig:
    """What a study's file may hold."""

    name: str
    """Letters, digits, - and _; the folder and the rows are called so."""
    recipe: Any
    """A recipe's path, relative to the study's file, or options of rapidnet train."""
    data: str = ""
    """As for rapidnet train; may be given with --data instead."""
    seeds: Any = 5
    """How many (0, 1, ...), or a list of them; every change trains with every seed."""
    budget: dict[str, int] = field(default_factory=dict)
    """epochs or optimizer steps of a run, in place of the recipe's epochs."""
    baseline: dict[str, Any] = field(default_factory=dict)
    """Options over the recipe's, of the baseline and so of every change."""
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> options over the baseline's."""
    grids: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    """Name -> option -> values: a change for every combination of them but the baseline's own."""

    def __post_init__(self) -> None:
        plain = isinstance(self.name, str) and self.name.replace("-", "").replace("_", "").isalnum()
        check(plain, f"name is {self.name!r}; it must consist of letters, digits, - and _")
        check(isinstance(self.recipe, str | dict), "recipe must be the path of a YAML file or a mapping of options")
        check(isinstance(self.data, str), f"data is {self.data!r}; it must be a text")
        if isinstance(self.seeds, int) and not isinstance(self.seeds, bool):
            self.seeds = list(range(self.seeds))
        whole = isinstance(self.seeds, list) and all(type(seed) is int and seed >= 0 for seed in self.seeds)
        check(
            whole and len(set(self.seeds)) == len(self.seeds) >= 1,
            f"seeds is {self.seeds}; it must be a number of at least 1, or a list of different whole numbers",
        )
        for name in ("budget", "baseline", "changes", "grids"):
            check(isinstance(getattr(self, name), dict), f"{name} is {getattr(self, name)!r}; it must be a mapping")
        known = set(self.budget) <= set(BUDGETS) and len(self.budget) <= 1
        check(
            known and all(type(value) is int and value >= 1 for value in self.budget.values()),
            f"budget is {self.budget}; it must be epochs: N or steps: N, a whole number of at least 1",
        )
        check(
            bool(self.changes or self.grids), "changes is empty; a study needs at least one change, or a grid of them"
        )
        for name, options in self.changes.items():
            check(isinstance(options, dict) and bool(options), f"changes: '{name}' changes nothing; give it options")
        for name, axes in self.grids.items():
            lists = isinstance(axes, dict) and bool(axes) and all(isinstance(v, list) and v for v in axes.values())
            check(lists, f"grids: '{name}' must map options to lists of values")


@dataclass
class AblateConfig:
    """Train a baseline and changes of it with paired seeds, and say which differences are more than noise."""

    study: str
    """The study's YAML file; see docs/ablations.md."""
    data: str = ""
    """The data to train on, in place of the study's."""
    output: str = ""
    """The study's folder, runs/NAME if empty; what is finished in it is kept, what was begun goes on."""
    minutes: float = 0.0
    """Stop after so many minutes, where the same command goes on later; 0 runs to the end."""
    steps: int = 0
    """A preview: every run stops after so many optimizer steps; 0 trains the whole budget."""
    limit_data: int = 0
    """A preview: every run uses at most so many training and validation images; 0 uses all."""
    results: str = ""
    """A JSON-lines file to append a row for each run and for each comparison to, once all runs are there."""

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "limit_data"):
            check(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must not be negative")
        preview = bool(self.steps or self.limit_data)
        check(not (preview and self.results), "results has no effect on a preview (steps, limit_data); leave it out")


@dataclass
class CompareConfig:
    """Hold classifiers against each other on the same images: differences, wins and losses, and pictures of them."""

    runs: list[str]
    """Run folders, checkpoint files or exported bundles; each is held against the first."""
    data: str = ""
    """A folder of classes or with val/<class>/; empty takes what the runs validated on, which must be the same."""
    weights: Weights = "best"
    """The averaged weights (if there are any), the raw ones, or those of the two that validated better."""
    output: str = "runs/compare"
    """A folder for comparison.jsonl and the pictures."""
    pictures: int = 24
    """How many pictures on which two runs disagree to draw; 0 draws none."""
    batch_size: int = 0
    """Images in one forward pass; 0 takes 64."""
    json: bool = False
    """Print one JSON line for each pair instead of tables."""

    def __post_init__(self) -> None:
        check(len(self.runs) >= 2, f"there are {len(self.runs)} runs to compare; give at least two")
        check(len(set(self.runs)) == len(self.runs), "a run is named twice; give each of them once")
        for name in ("pictures", "batch_size"):
            check(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must not be negative")
