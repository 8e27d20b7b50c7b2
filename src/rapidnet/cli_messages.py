"""How does a parser's complaint become one sentence that names the option, the recipe's line and the nearest name?"""

import re
from pathlib import Path

from rapidnet.errors import nearest

UNKNOWN = re.compile(
    r"unrecognized arguments: --(?P<option>[\w.]+)"
    r"|Option '(?P<key>[\w.]+)' is not accepted"
    r"|Group '(?P<group>[\w.]+)' does not accept option '(?P<member>\w+)'"
)
WRONG_TYPE = re.compile(r'Parser key "(?P<key>[\w.]+)":\s*Expected an? (?P<type>.+?)\. Got value: (?P<value>.*)', re.S)
CHOICES = re.compile(r"typing\.Literal\[(.*)\]")


def explain(message: str, command: str, known: list[str], recipe: Path | None) -> str:
    """One sentence for a message of the parser.

    Args:
        message: what the parser said, over several lines perhaps.
        command: the command's name, for the hint at its help.
        known: every option's name, with underscores.
        recipe: the YAML file given with --config, to name the line in.
    """
    hint = f"see rapidnet {command} --help"
    unknown = UNKNOWN.search(message)
    if unknown:
        name = unknown["option"] or unknown["key"] or f"{unknown['group']}.{unknown['member']}"
        if unknown["option"]:
            return f"there is no option '--{dashed(name)}'{dashed(nearest(name, known))}; {hint}"
        return f"there is no recipe key '{name}'{in_recipe(recipe, name)}{nearest(name, known)}; {hint}"
    wrong = WRONG_TYPE.search(message)
    if wrong:
        choices = CHOICES.search(wrong["type"])
        wanted = f"one of {choices[1]}" if choices else re.sub(r"<class '(\w+)'>", r"\1", wrong["type"])
        where = in_recipe(recipe, wrong["key"])
        return f"'{wrong['key']}' must be {wanted}, not {' '.join(wrong['value'].split())}{where}; {hint}"
    if "File does not exist" in message:
        return f"recipe {recipe} does not exist; give the path of a YAML file"
    if "parsing config" in message:
        return f"recipe {recipe} is not valid YAML: {' '.join(message.split(':', 1)[1].split())}"
    return f"{' '.join(message.split())}; {hint}"


def dashed(text: str) -> str:
    return text.replace("_", "-")


def in_recipe(recipe: Path | None, name: str) -> str:
    """' (FILE, line N)' where the recipe sets the last part of `name`, or the empty string."""
    if recipe is None or not recipe.is_file():
        return ""
    last = re.compile(rf"^\s*[\"']?{re.escape(name.rsplit('.', 1)[-1])}[\"']?\s*:")
    lines = recipe.read_text(encoding="utf-8").splitlines()
    found = [number for number, line in enumerate(lines, start=1) if last.match(line)]
    return f" ({recipe}, line {found[0]})" if found else ""
