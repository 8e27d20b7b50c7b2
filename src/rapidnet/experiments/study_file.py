"""How is a study's YAML file read, so that every complaint about it names the line?"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from rapidnet.config import StudyConfig
from rapidnet.errors import UserError, nearest

Place = tuple[str, ...]
"""The keys on the way to a value, such as ("changes", "relu", "model_options")."""


class Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as it is in recipes."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class StudyFile:
    """A study as it was written, and the line of every key in it, counted from 1."""

    path: Path
    config: StudyConfig
    lines: dict[Place, int]

    def complain(self, place: Place, message: str) -> UserError:
        """The message with the file and the line: of the option below `place` that it names, else of `place`."""
        named = [
            line
            for at, line in self.lines.items()
            if at[: len(place)] == place and at != place and says(message, at[-1].rsplit(".", 1)[-1])
        ]
        line = named[-1] if named else self.lines.get(place, 1)
        return UserError(f"{self.path}, line {line}: {' '.join(place)}: {message}")


def read_study_file(path: str | Path) -> StudyFile:
    """Read and check a study's keys; its options are checked where they are put together.

    Raises:
        UserError: no such file, no YAML, an unknown, missing or repeated key, a value that cannot be meant.
    """
    path = Path(path)
    values, lines = read_yaml(path, "study")
    known = [spec.name for spec in fields(StudyConfig)]
    for key in values:
        if key not in known:
            raise UserError(
                f"{path}, line {lines[(key,)]}: there is no key '{key}'{nearest(key, known)}; "
                f"a study has {', '.join(known)}"
            )
    for key in ("name", "recipe"):
        if key not in values:
            raise UserError(f"{path}: the key '{key}' is missing; a study needs a name, a recipe and changes")
    try:
        config = StudyConfig(**values)
    except UserError as error:
        key = re.split(r"\W", str(error), maxsplit=1)[0]
        raise UserError(f"{path}, line {lines.get((key,), 1)}: {error}") from None
    return StudyFile(path, config, lines)


def read_yaml(path: Path, what: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """A YAML mapping and the line of each of its keys.

    Raises:
        UserError: no such file, no YAML, no mapping, a key that stands twice.
    """
    if not path.is_file():
        raise UserError(f"{what} {path} does not exist; give the path of a YAML file")
    text = path.read_text(encoding="utf-8")
    try:
        root = yaml.compose(text, Loader)
        values = yaml.load(text, Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"{what} {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{what} {path} holds no mapping; write it as key: value")
    lines: dict[Place, int] = {}
    find_lines(root, (), lines, path)
    return values, lines


def find_lines(node: yaml.Node | None, place: Place, lines: dict[Place, int], path: Path) -> None:
    """Note the line of every key below a node."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        inner, line = (*place, str(key.value)), key.start_mark.line + 1
        if inner in lines:
            raise UserError(f"{path}, line {line}: '{key.value}' stands here and in line {lines[inner]}; keep one")
        lines[inner] = line
        find_lines(value, inner, lines, path)


def says(message: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message) is not None
