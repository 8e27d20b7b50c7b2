"""How are the results shown? Tables that fit 80 columns, the subjects by letters where there are several."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = dict[str, Any]
METHOD_NAMES = {
    "gradcam": "Grad-CAM", "occlusion": "occlusion", "rise": "RISE", "random": "random", "centre": "centre",
}  # fmt: skip


def show(rows: Sequence[Row], console: Console) -> None:
    """All tables."""
    console.print()
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        facts = f"{row['kind']}, {row['format']}, {row['precision']}, {row['runtime']}"
        console.print(f"[bold]{letter}[/bold]  {escape(row['subject'])} ({escape(facts)})", highlight=False)
    console.print()
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        for part, print_part in (("fields", print_fields), ("branches", print_branches), ("maps", print_maps)):
            if part in row:
                print_part(row[part], letter, console)


def print_fields(facts: Row, letter: str, console: Console) -> None:
    """Sides of the squares that hold a share of what the middle output depends on, trained and with fresh weights."""
    size = facts["image_size"]
    title = f"{letter}: receptive fields, sides in px of {size} ({facts['images']} pictures)"
    shares = list(facts["trained"][0]["sides"])
    table = build_table(title, "stage", "weights", "in theory", *[f"{share} %" for share in shares], "99 % area")
    for number, stage in enumerate(facts["trained"]):
        for weights in ("trained", "fresh"):
            if weights in facts:
                found = facts[weights][number]
                sides = [f"{found['sides'][share]:g}" for share in shares]
                first = (
                    (stage["stage"], weights, show_count(stage["theory"]))
                    if weights == "trained"
                    else ("", weights, "")
                )
                table.add_row(*first, *sides, f"{found['areas']['99']:.0f} %")
    console.print(table)
    console.print()


def print_branches(facts: Row, letter: str, console: Console) -> None:
    """Each branch's size, and what is lost when it is replaced by its mean."""
    title = f"{letter}: branches, and changes without them (top-1 {facts['top1']:.1f} %, {facts['images']} pictures)"
    table = build_table(title, "block", "dilation", "norm %", "var %", "alike", "logits %", "top-1 %", "95% interval")
    for block in facts["blocks"]:
        for number, line in enumerate([*block["branches"], block["all"]]):
            low, high = line["difference_interval"]
            own = ("all", "", "", "")
            if "dilation" in line:
                alike = "" if line["correlation"] is None else f"{line['correlation']:+.2f}"
                own = (str(line["dilation"]), f"{line['norm_share']:.0f}", f"{line['variance_share']:.0f}", alike)
            table.add_row(
                "" if number else block["block"].removesuffix(".mixer"), *own, f"{line['logit_change']:.0f}",
                f"{line['difference']:+.1f}", f"{low:+.1f} to {high:+.1f}",
            )  # fmt: skip
    everything = facts["everything"]
    low, high = everything["difference_interval"]
    table.add_row(
        "every block", "all", "", "", "", f"{everything['logit_change']:.0f}", f"{everything['difference']:+.1f}",
        f"{low:+.1f} to {high:+.1f}", style="bold",
    )  # fmt: skip
    console.print(table)
    console.print()


def print_maps(facts: Row, letter: str, console: Console) -> None:
    """How faithful the maps are beside random ones, how alike those of fresh weights and of the first subject."""
    title = f"{letter}: area under the probability, {facts['images']} pictures"
    table = build_table(title, "map", "deletion", "insertion", "less", "more", "together (95% interval)")
    random = facts["random"]
    table.add_row(METHOD_NAMES["random"], f"{random['deletion']:.3f}", f"{random['insertion']:.3f}", "", "", "")
    for name, areas in facts["areas"].items():
        gains = areas["gains"]
        each = [f"{gains[kind]['gain']:+.3f}" if gains else "" for kind in ("deletion", "insertion")]
        together = show_gain(gains.get("overall"))
        table.add_row(METHOD_NAMES[name], f"{areas['deletion']:.3f}", f"{areas['insertion']:.3f}", *each, together)
    console.print(table)
    for name, count in facts["flat"].items():
        if count:
            console.print(f"[yellow]{METHOD_NAMES[name]}: {count} of {facts['images']} maps are flat and say nothing")
    for name, areas in facts["areas"].items():
        if name != "centre" and areas["says_something"] is False:
            console.print(f"[yellow]{METHOD_NAMES[name]}: not shown to be better than random maps; do not read it")
    lines = []
    if "randomised" in facts:
        other = facts["other_picture"]
        lines.append(
            f"Grad-CAM beside that of fresh weights: {show_similarity(facts['randomised'])}"
            + (f"; beside another picture's: {show_similarity(other)}" if other else "")
        )
    for name, similar in facts.get("against_first", {}).items():
        lines.append(f"{METHOD_NAMES[name]} beside A's: {show_similarity(similar)}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    console.print()


def show_similarity(facts: Row) -> str:
    """Spearman's correlation, mean over pictures."""
    flat = f", {facts['flat']} flat" if facts["flat"] else ""
    if facts["mean"] is None:
        return f"unknown{flat}"
    return f"rank correlation {facts['mean']:+.2f} (least {facts['least']:+.2f}{flat})"


def show_gain(gain: Row | None) -> str:
    if gain is None:
        return "unknown"
    low, high = gain["interval"]
    return f"{gain['gain']:+.3f} ({low:+.3f} to {high:+.3f})"


def show_count(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def build_table(title: str, *headings: str) -> Table:
    """Its first column words, the others numbers."""
    table = Table(
        title=escape(title), title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return table
