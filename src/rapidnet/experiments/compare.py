"""How does the compare command hold classifiers against each other? Statistics on the same images, and pictures."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from rapidnet.benchmark.narrow_table import print_table
from rapidnet.config import CompareConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.evaluation.pictures import BLUE, GREY, RED, draw_examples, save_figure
from rapidnet.experiments.contestants import Contestant, open_contestants
from rapidnet.experiments.pairs import Answers, add_q, choose_disagreements, compare_answers
from rapidnet.experiments.statistics import ALPHA

ROWS = "comparison.jsonl"
SHOWN_CLASSES = 20


def run_compare(config: CompareConfig) -> int:
    """The compare command: every run against the first, on the same images.

    Raises:
        UserError: what is no classifier, or was validated on other images.
    """
    console = Console(stderr=config.json)
    contestants = open_contestants(config)
    measured = [contestant.measure(console) for contestant in contestants]
    answers = [Answers(*meter.answers()) for _, meter in measured]
    results = [row for row, _ in measured]
    classes, folder = contestants[0].classes, Path(config.output)
    rows = add_q(
        [
            describe(contestants[0], other, results[0], result)
            | compare_answers(answers[0], answer, classes)
            for other, result, answer in zip(contestants[1:], results[1:], answers[1:], strict=True)
        ]
    )  # fmt: skip
    names = [ROWS]
    for place, (row, answer) in enumerate(zip(rows, answers[1:], strict=True), start=1):
        append_row(folder / ROWS, row | {"environment": describe_environment()})
        if chosen := choose_disagreements(answers[0], answer, config.pictures):
            names.append(f"disagreements_{place}.png" if len(rows) > 1 else "disagreements.png")
            save_figure(draw_disagreements(contestants[0], answers[0], answer, chosen), folder / names[-1])
        if config.json:
            print(json.dumps(row))
    if not config.json:
        print_runs(contestants, results, rows, console)
        for row in rows:
            print_classes(row, console)
        console.print(f"{', '.join(names)} in [bold]{folder}[/bold]")
    return 0


def describe(first: Contestant, other: Contestant, base: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The two networks and how good each is by itself."""
    kept = ("top1", "top1_interval", "ece", "nll", "image_size", "runtime", "weights")
    return {
        "study": "compare", "data": base["data"], "first": first.name, "other": other.name,
        "first_result": {key: base[key] for key in kept}, "other_result": {key: result[key] for key in kept},
    }  # fmt: skip


def print_runs(
    contestants: list[Contestant], results: list[dict[str, Any]], rows: list[dict[str, Any]], console: Console
) -> None:
    """Accuracy and calibration of each, and its difference to the first."""
    low_high = [f"{row['interval'][0]:+.2f} to {row['interval'][1]:+.2f}" for row in rows]
    letters = [chr(ord("A") + place) if place < 26 else str(place) for place in range(len(contestants))]
    for letter, contestant in zip(letters, contestants, strict=True):
        console.print(f"{letter}: {contestant.name}", highlight=False, markup=False, soft_wrap=True)
    print_table(
        console, f"{results[0]['images']} images of {results[0]['data']}, held against A",
        {
            "": letters,
            "top-1 %": [f"{result['top1']:.2f}" for result in results],
            "ECE %": [f"{result['ece']:.2f}" for result in results],
            "difference": ["", *(f"{row['difference']:+.2f}" for row in rows)],
            "95% interval": ["", *low_high],
            "wins": ["", *(str(row["wins"]) for row in rows)],
            "losses": ["", *(str(row["losses"]) for row in rows)],
            "agree %": ["", *(f"{row['agreement']:.1f}" for row in rows)],
            "q": ["", *(f"{row['q']:.4f}" for row in rows)],
        },
        left={""},
    )  # fmt: skip
    for letter, row in zip(letters[1:], rows, strict=True):
        said = "no difference can be told from chance" if row["q"] > ALPHA else verdict(row)
        console.print(f"{letter} against A: {said}", highlight=False)
    console.print("q: exact McNemar test, corrected over the pairs; of these trained networks, not of how they train")


def verdict(row: dict[str, Any]) -> str:
    return "better" if row["difference"] > 0 else "worse"


def print_classes(row: dict[str, Any], console: Console) -> None:
    """The classes in which most was won or lost."""
    moved = [facts for facts in row["per_class"] if facts["wins"] or facts["losses"]]
    moved = sorted(moved, key=lambda facts: facts["losses"] - facts["wins"])
    if len(moved) > SHOWN_CLASSES:
        moved = [*moved[: SHOWN_CLASSES // 2], *moved[-SHOWN_CLASSES // 2 :]]
    if not moved:
        return
    print_table(
        console, f"by class: {row['other']} against {row['first']}",
        {
            "class": [facts["class"] for facts in moved],
            **{key: [str(facts[key]) for facts in moved] for key in ("images", "wins", "losses")},
            "q": [f"{facts['q']:.3f}" for facts in moved],
        },
        left={"class"},
    )  # fmt: skip


def draw_disagreements(contestant: Contestant, first: Answers, other: Answers, chosen: list[int]) -> Figure:
    """The images under the truth and what A and the other say; blue where the other wins, red where it loses."""
    classes = contestant.classes
    images, titles, colours = [], [], []
    for index in chosen:
        images.append(contestant.show(index))
        truth, one, two = (classes[int(values[index])] for values in (first.truth, first.named, other.named))
        titles.append(f"truth: {truth}\nA: {one}\nB: {two}")
        colours.append(BLUE if other.right[index] else RED if first.right[index] else GREY)
    return draw_examples(images, titles, colours)
