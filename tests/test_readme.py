"""Does what README and docs tell people to type exist, and does the Python in them run?"""

import re
import shlex
from pathlib import Path

import pytest

from rapidnet import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?:`)?(rapidnet [a-z][^`#\n]*)", re.M)


def commands() -> list[str]:
    found = {line.strip() for page in PAGES for line in COMMAND.findall(page.read_text())}
    found |= {line for page in PAGES for line in re.findall(r"`(rapidnet [a-z][^`]*)`", page.read_text())}
    return sorted(found)


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = ["0" if word == "N" else word for word in shlex.split(line)[1:] if word != "recipe.yaml"]
    name, rest = cli.split_command([word for word in words if word not in ("--help",)])
    assert name in cli.COMMANDS
    if rest:
        cli.parse_settings(name, rest)


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(compile(code, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
