"""How well does a classifier stand what it was not trained on? The command: subjects, pictures, tables, rows."""

import json
from string import ascii_uppercase
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rapidnet.config import RobustnessConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.environment import append_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.pictures import save_figure
from rapidnet.robustness.attack_report import print_attacks, print_foreign, print_subsets
from rapidnet.robustness.cells import Cell, Key
from rapidnet.robustness.corruption_error import build_alexnet
from rapidnet.robustness.corruptions import PUBLISHED, VERSION
from rapidnet.robustness.drawing import draw_accuracy
from rapidnet.robustness.foreign import measure_foreign, measure_subsets
from rapidnet.robustness.golden import find_deviations
from rapidnet.robustness.labelled import Pictures, open_pictures
from rapidnet.robustness.measure import measure_corruptions, measure_published
from rapidnet.robustness.published import Published, open_published
from rapidnet.robustness.report import print_comparison, print_corruptions, print_subjects
from rapidnet.robustness.rows import compare_corruptions, describe_corruptions, list_errors, relate
from rapidnet.robustness.subjects import Subject, open_subjects

Cells = dict[Key, Cell]


def run_robustness(config: RobustnessConfig) -> int:
    """The robustness command."""
    console = Console(stderr=config.json)
    extra = [config.against] if config.against and config.against not in config.subjects else []
    subjects = open_subjects([*config.subjects, *extra], config.weights)
    rows = measure(config, subjects, console)
    if config.json:
        for row in rows:
            print(json.dumps(row))
    else:
        show(rows, console)
    if config.results:
        append_rows(config.results, rows)
    if config.picture and rows[0]["kinds"]:
        save_figure(draw_accuracy(rows), config.picture)
        console.print(f"wrote {config.picture}", highlight=False)
    return 0


def measure(config: RobustnessConfig, subjects: list[Subject], console: Console) -> list[dict[str, Any]]:
    """The row of each subject but the reference.

    Raises:
        UserError: as what opens the pictures; a picture that cannot be read, under the policy 'error'.
    """
    log = BadSampleLog(config.bad_samples, None)
    published: Published | None = None
    if config.imagenet_c:
        named = config.kinds not in ("all", "imagenet_c")
        published = open_published(
            config.imagenet_c, subjects[0], [kind for kind in config.kind_names if kind in PUBLISHED or named],
            config.severity_numbers, named, config.check_images, config.seed,
        )  # fmt: skip
    pictures = None
    if not published or config.data or config.attack_names or config.ood:
        pictures = open_pictures(subjects[0], config.data, config.check_images, config.seed)
    kinds = published.kinds if published else config.kind_names
    deviating = [] if published else find_deviations(kinds)
    if deviating:
        console.print(
            f"[yellow]{', '.join(deviating)} come out otherwise here than defined; do not compare them with others'"
        )
    if config.attack_names:
        refuse_in_vain(config, subjects)
    cells = run_subjects(config, subjects, pictures, published, log, console)
    rows = build_rows(config, subjects, cells, kinds)
    add_others(config, subjects[: len(rows)], pictures, rows, log, console)
    for row in rows:
        row["images"] = len(next(iter(cells[0].values())).right)
        row["bad_samples"] = len(log.paths)
        row["deviating"] = deviating
    return rows


def refuse_in_vain(config: RobustnessConfig, subjects: list[Subject]) -> None:
    """Raise UserError for attacks that cannot be made, before anything takes its time."""
    if not any(subject.trained for subject in subjects):
        raise UserError(
            "attacks need a network's gradients, which bundles have not; name the run that a bundle was exported from "
            "before it, and the bundle is given the images made on that"
        )
    from rapidnet.robustness.attacked import build_attacks

    build_attacks(config, len(subjects[0].classes))


def add_others(
    config: RobustnessConfig, subjects: list[Subject], pictures: Pictures | None, rows: list[dict[str, Any]],
    log: BadSampleLog, console: Console,
) -> None:  # fmt: skip
    """Put what was asked for beside corruptions into the rows: attacked, ood, subset."""
    found: dict[str, list[Any]] = {}
    if config.attack_names and pictures:
        from rapidnet.robustness.attacked import measure_attacks

        found["attacked"] = measure_attacks(config, subjects, pictures, log, console)
    if config.ood_folders and pictures:
        found["ood"] = measure_foreign(subjects, pictures, config.ood_folders, config.batch_size, log)
    if config.subset_folders:
        found["subset"] = measure_subsets(subjects, config.subset_folders, config.batch_size, log)
    for name, results in found.items():
        for row, result in zip(rows, results, strict=True):
            row[name] = result


def run_subjects(
    config: RobustnessConfig, subjects: list[Subject], pictures: Pictures | None, published: Published | None,
    log: BadSampleLog, console: Console,
) -> list[Cells]:  # fmt: skip
    """The cells of each subject, with a bar."""
    conditions = [] if published else [(k, s) for k in config.kind_names for s in config.severity_numbers]
    total = len(pictures) * (len(conditions) + 1) if pictures else 0
    total += len(published) * len(published.splits) if published else 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("corrupted pictures", total=total)

        def advance(count: int) -> None:
            bar.advance(task, count)

        cells: list[Cells] = [{} for _ in subjects]
        if pictures:
            cells = measure_corruptions(
                subjects, pictures, conditions, config.seed, config.batch_size, log, advance
            )  # fmt: skip
        if published:
            found = measure_published(subjects, published, config.batch_size, advance)
            cells = [own | more for own, more in zip(cells, found, strict=True)]
    return cells


def build_rows(
    config: RobustnessConfig, subjects: list[Subject], cells: list[Cells], kinds: tuple[str, ...]
) -> list[dict[str, Any]]:
    """What is known of each subject of the command; a reference beside them is the last of `subjects`."""
    severities = config.severity_numbers
    described = [describe_corruptions(own, kinds, severities) for own in cells]
    reference, name = None, ""
    if config.against:
        names = [subject.name for subject in subjects]
        reference, name = list_errors(described[names.index(config.against)]), config.against
        described = described[: len(config.subjects)]
    elif config.imagenet_c and len(subjects[0].classes) == 1000 and severities == (1, 2, 3, 4, 5):
        reference, name = build_alexnet(), "AlexNet"
    rows = []
    for number, (subject, facts) in enumerate(zip(subjects, described, strict=False)):
        row = {
            "study": "robustness", "subject": subject.name, **subject.facts, "image_size": subject.size,
            "data": config.data or subject.made_from.get("root", ""), "corruptions": config.imagenet_c or VERSION,
            "seed": config.seed, "severities": list(severities), **facts,
        }  # fmt: skip
        if number:
            row["against_first"] = compare_corruptions(cells[number], cells[0], kinds, severities)
        if reference and any(kind in PUBLISHED for kind in kinds):
            row["mce"] = relate(facts, reference, name, kinds, severities)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """All tables."""
    print_subjects(rows, console)
    for letter, row in zip(ascii_uppercase, rows, strict=False):
        where = row["corruptions"] if isinstance(row["corruptions"], str) else row["data"]
        print_corruptions(row, f"{letter}: {row['images']} pictures of {where}", console)
    for letter, row in list(zip(ascii_uppercase, rows, strict=False))[1:]:
        print_comparison(row, rows[0], (letter, "A"), console)
    for name, print_part in (("attacked", print_attacks), ("ood", print_foreign), ("subset", print_subsets)):
        if name in rows[0]:
            print_part(rows, console)
