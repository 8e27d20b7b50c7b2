"""Which training runs does a study's file ask for? The baseline's options and every change's, all of them checked."""

import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import jsonargparse

from rapidnet.cli_messages import explain
from rapidnet.config import TrainConfig
from rapidnet.config.experiments import BASELINE
from rapidnet.errors import UserError
from rapidnet.experiments.study_file import Place, StudyFile, read_study_file, read_yaml

OWN = ("seed", "output", "resume", "restart", "results")
"""Options of rapidnet train that the study itself sets."""
NO_CHANGE = (*OWN, "workers", "save_steps", "save_minutes", "steps", "limit_data")
"""Options that cannot be what a change is about: they change nothing, or shorten a run to a preview."""


@dataclass(frozen=True)
class Study:
    """A study put together: the options of the baseline and, by name, of each change; without seeds and folders."""

    name: str
    file: StudyFile
    seeds: list[int]
    steps: int
    """Optimizer steps of a run; 0 where epochs are its budget."""
    configs: dict[str, TrainConfig]
    places: dict[str, Place]
    """Where each stands in the file."""

    def complain(self, change: str, message: str) -> UserError:
        """The message with the change's name and line."""
        return self.file.complain(self.places[change], message)


def read_study(path: str | Path, data: str = "", limit_data: int = 0) -> Study:
    """Read a study and check every option of every change; `data` takes the place of the study's own.

    Raises:
        UserError: what is wrong with the file, with its line.
    """
    file = read_study_file(path)
    written = file.config
    if not (data or written.data):
        raise UserError(f"{file.path} names no data; give --data DIR or --data builtin")
    start = read_recipe(file, data or written.data)
    start |= {name: value for name, value in written.budget.items() if name == "epochs"}
    check_options(file, ("baseline",), written.baseline, OWN)
    base = merge(start, spread(written.baseline))
    if limit_data:
        # A preview of a study that takes few images itself takes no more.
        base["limit_data"] = min(limit_data, base.get("limit_data") or limit_data)
    configs = {BASELINE: parse(file, ("baseline",), base)}
    places: dict[str, Place] = {BASELINE: ("baseline",)}
    steps = written.budget.get("steps", 0)
    refused = (*NO_CHANGE, "epochs") if steps else NO_CHANGE
    for name, place, options in list_changes(file):
        check_options(file, place, options, refused)
        config = parse(file, place, merge(base, spread(options)))
        if place[0] == "grids" and config == configs[BASELINE]:
            continue
        if name in configs:
            raise file.complain(place, f"the name '{name}' stands twice; every change needs its own")
        configs[name], places[name] = config, place
    if len({folder_name(name) for name in configs}) < len(configs):
        raise UserError(f"{file.path}: two changes differ in punctuation only, and would share a folder; rename one")
    return Study(written.name, file, written.seeds, steps, configs, places)


def read_recipe(file: StudyFile, data: str) -> dict[str, Any]:
    """The options that the study starts from, on its data, checked by themselves."""
    recipe, place = file.config.recipe, ("recipe",)
    if isinstance(recipe, str):
        path = file.path.parent / recipe
        values, _ = read_yaml(path, "recipe")
    else:
        path, values = None, spread(recipe)
    check_options(file, place, values, OWN)
    values |= {"data": data}
    parse(file, place, values, path)
    return values


def list_changes(file: StudyFile) -> list[tuple[str, Place, dict[str, Any]]]:
    """Name, place in the file and options of every change, those of grids behind the others."""
    found: list[tuple[str, Place, dict[str, Any]]] = []
    for name, options in file.config.changes.items():
        found.append((str(name), ("changes", str(name)), options))
    for grid, axes in file.config.grids.items():
        for values in product(*axes.values()):
            options = dict(zip(axes, values, strict=True))
            found.append((describe(options), ("grids", str(grid)), options))
    for name, place, _ in found:
        if name == BASELINE:
            raise file.complain(place, f"'{BASELINE}' is what changes are held against; call it something else")
    return found


def describe(options: dict[str, Any]) -> str:
    """A name for a grid's change, such as 'dilations 2,4; branch_sum before_act'."""
    cells = []
    for option, value in options.items():
        shown = ",".join(str(item) for item in value) if isinstance(value, list) else str(value)
        cells.append(f"{option.rsplit('.', 1)[-1]} {shown}")
    return "; ".join(cells)


def folder_name(change: str) -> str:
    return re.sub(r"[^\w.,-]+", "_", change)


def check_options(file: StudyFile, place: Place, options: dict[str, Any], refused: tuple[str, ...]) -> None:
    for name in options:
        if str(name).split(".")[0] in refused:
            raise file.complain(place, f"'{name}' is no option of a study's, which sets it itself; leave it out")


def spread(options: dict[str, Any]) -> dict[str, Any]:
    """Dotted names as mappings: {'optimizer.lr': 1} -> {'optimizer': {'lr': 1}}."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        first, _, rest = str(name).partition(".")
        inner = spread({rest: value}) if rest else spread(value) if isinstance(value, dict) else value
        found = merge(found, {first: inner})
    return found


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` upon `base`; mappings are merged, all else is replaced."""
    found = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merge(found[name], value) if both else value
    return found


class Parser(jsonargparse.ArgumentParser):
    """Raises what it finds instead of leaving the program."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ValueError(message) from ex


@cache
def build_parser() -> Parser:
    parser = Parser()
    parser.add_class_arguments(TrainConfig, as_group=False)
    return parser


def parse(file: StudyFile, place: Place, values: dict[str, Any], recipe: Path | None = None) -> TrainConfig:
    """Options as rapidnet train understands them; a complaint names the line in the study, or in its `recipe`."""
    parser = build_parser()
    try:
        # The parser keeps what it is given.
        parsed = parser.instantiate(parser.parse_object(deepcopy(values)))
        config = TrainConfig(**dict(parsed.items()))
    except (ValueError, UserError) as error:
        known = [action.dest for action in parser._actions]
        message = str(error) if isinstance(error, UserError) else explain(str(error), "train", known, recipe)
        raise file.complain(place, message) from None
    if config.task != "classify":
        raise file.complain(place, f"task is {config.task}; studies are of classifiers, take task classify")
    return config
