"""What is shown of runs alone, for it needs the network itself: receptive fields and branches."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from rapidnet.config import ExplainConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.explain.branches import count_passes, find_blocks, measure_branches
from rapidnet.explain.drawing import draw_branches, draw_fields
from rapidnet.explain.fields import Field, measure_fields
from rapidnet.explain.pictures import Pictures, read_validation
from rapidnet.explain.progress import follow, name_subjects, save
from rapidnet.explain.subjects import Subject
from rapidnet.explain.trained_subject import build_untrained

Row = dict[str, Any]


def add_networks(
    config: ExplainConfig, parts: Sequence[str], subjects: Sequence[Subject], rows: list[Row], log: BadSampleLog,
    console: Console,
) -> None:  # fmt: skip
    """Put fields and branches of every run into its row, and their pictures into the output folder."""
    names = name_subjects(subjects)
    chosen = [number for number, subject in enumerate(subjects) if subject.trained]
    runs, titles = [subjects[number] for number in chosen], [names[number] for number in chosen]
    own_rows = [rows[number] for number in chosen]
    first = runs[0]
    pictures = read_validation(first, config.data, config.check_images, 0, config.seed, log)
    if "fields" in parts:
        seen = pictures
        if config.field_size not in (0, first.size):
            seen = read_validation(first, config.data, config.check_images, config.field_size, config.seed, log)
        add_fields(config, runs, titles, own_rows, seen, console)
    if "branches" in parts:
        add_branches(config, runs, titles, own_rows, pictures, console)


def add_fields(
    config: ExplainConfig, runs: Sequence[Subject], titles: Sequence[str], rows: Sequence[Row], pictures: Pictures,
    console: Console,
) -> None:  # fmt: skip
    """fields: image_size, images, trained and perhaps fresh, a line a stage."""
    drawn: list[tuple[str, list[Field]]] = []
    kinds = ("trained", "fresh") if config.untrained else ("trained",)
    with follow("receptive fields", len(kinds) * len(runs) * len(pictures), console) as advance:
        for run, title, row in zip(runs, titles, rows, strict=True):
            trained = run.trained
            assert trained is not None
            row["fields"] = {"image_size": pictures.pixels.shape[-1], "images": len(pictures), "seed": config.seed}
            for kind in kinds:
                model = trained.model if kind == "trained" else build_untrained(trained, config.seed)
                found = measure_fields(
                    model, trained.preprocessing.normalize, pictures.pixels, config.batch_size, advance
                )
                row["fields"][kind] = [field.measure() for field in found]
                drawn.append((f"{title}\n{'trained' if kind == 'trained' else 'fresh weights'}", found))
    save(draw_fields(drawn), config, "fields.png", console)


def add_branches(
    config: ExplainConfig, runs: Sequence[Subject], titles: Sequence[str], rows: Sequence[Row], pictures: Pictures,
    console: Console,
) -> None:  # fmt: skip
    """branches, of every run that has any."""
    drawn = []
    passes = [count_passes(run.trained.model) for run in runs if run.trained and find_blocks(run.trained.model)]
    with follow("branches", sum(passes) * len(pictures), console) as advance:
        for run, title, row in zip(runs, titles, rows, strict=True):
            trained = run.trained
            if trained is None or not find_blocks(trained.model):
                continue
            row["branches"] = measure_branches(
                trained.model, trained.preprocessing.normalize, pictures.pixels, pictures.labels, config.batch_size,
                advance,
            )  # fmt: skip
            drawn.append((title, row["branches"]))
    save(draw_branches(drawn), config, "branches.png", console)
