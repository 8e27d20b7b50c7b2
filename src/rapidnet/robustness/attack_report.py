"""How are attacks, foreign pictures and subsets of classes shown? With the verdict on what the numbers are worth."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from rich.console import Console
from rich.markup import escape

from rapidnet.robustness.report import build_table, show_interval

Row = dict[str, Any]


def print_attacks(rows: Sequence[Row], console: Console) -> None:
    """What each subject keeps under attack, its differences to the first, and the sanity checks of each run."""
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        facts = row["attacked"]
        on = "itself" if facts["made_on"] == row["subject"] else facts["made_on"]
        headings = [f"{letter} - A", "95% interval"] if letter != "A" else []
        table = build_table(
            f"{letter}: {facts['images']} pictures attacked on {on}", "top-1 %", "of 255", letter, "95% interval",
            *headings,
        )  # fmt: skip
        for line in facts["attacks"]:
            cells = [line["attack"], str(line["epsilon"] or ""), f"{line['top1']:.1f}"]
            cells.append(show_interval(line["top1_interval"]))
            if headings:
                low, high = line["difference_interval"]
                cells += [f"{line['difference']:+.1f}", f"{low:+.1f} to {high:+.1f}"]
            table.add_row(*cells)
        console.print(table)
        if on == "itself":
            print_checks(facts, letter, console)


def print_checks(facts: Row, letter: str, console: Console) -> None:
    """Every check, and the verdict."""
    for check in facts["checks"]:
        mark = "[green]holds[/green]" if check["holds"] else "[red]fails[/red]"
        console.print(f"  {mark}  {check['name']}: {check['found']}", highlight=False)
    if facts["void"]:
        console.print(
            f"[bold red]The attack numbers of {letter} are void:[/bold red] its gradients are masked or the attack is "
            "too weak, so they do not say how robust it is."
        )
    else:
        console.print(f"The attacks on {letter} can be believed: all sanity checks hold.")
    console.print()


def print_foreign(rows: Sequence[Row], console: Console) -> None:
    """How well pictures of other classes are told from the network's own."""
    table = build_table("Foreign classes", "folder", "images", "", "score", "AUROC %", "95% interval", "FPR95 %")
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        for line in row["ood"]:
            for name in ("msp", "energy"):
                if name in line:
                    facts = line[name]
                    table.add_row(
                        shorten_path(line["folder"]), str(line["images"]), letter, name, f"{facts['auroc']:.1f}",
                        show_interval(facts["auroc_interval"]), f"{facts['fpr95']:.1f}",
                    )  # fmt: skip
    console.print(table)
    silent = [letter for letter, row in zip(ascii_uppercase, rows, strict=False) if "energy" not in row["ood"][0]]
    if silent:
        console.print(
            f"No energy for {', '.join(silent)}: it needs logits, which a bundle gives if exported with --raw."
        )


def print_subsets(rows: Sequence[Row], console: Console) -> None:
    """Accuracy on some of the classes."""
    table = build_table(
        "Some of the classes", "folder", "images", "classes", "", "top-1 %", "95% interval", "of all classes %"
    )
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        for line in row["subset"]:
            table.add_row(
                shorten_path(line["folder"]), str(line["images"]), str(line["classes"]), letter, f"{line['top1']:.1f}",
                show_interval(line["top1_interval"]), f"{line['top1_all']:.1f}",
            )  # fmt: skip
    console.print(table)


def shorten_path(folder: str, longest: int = 22) -> str:
    """The end of a path."""
    return escape(folder if len(folder) <= longest else f"...{folder[3 - longest :]}")
