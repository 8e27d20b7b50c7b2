"""What can be shown of how classifiers see? The command: networks, pictures, tables, rows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from rapidnet.config import ExplainConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.environment import append_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.subjects import check_alike
from rapidnet.explain.drawing import draw_maps
from rapidnet.explain.maps import Mapped, check_class, choose_targets, describe_maps, map_pictures
from rapidnet.explain.pictures import Pictures, read_files, read_validation
from rapidnet.explain.progress import follow, save
from rapidnet.explain.report import show
from rapidnet.explain.subjects import Subject, open_subject, split_words

Row = dict[str, Any]
ON_A_SHEET = 8
"""Pictures on one sheet of maps."""


def run_explain(config: ExplainConfig) -> int:
    """The explain command."""
    console = Console(stderr=config.json)
    networks, images = split_words(config.subjects)
    subjects = [open_subject(name, config.weights) for name in networks]
    parts = choose_parts(config, subjects)
    if images and "maps" not in parts:
        raise UserError(f"{images[0]} has no effect with parts {config.parts}; leave it out or add maps")
    if "maps" in parts:
        check_maps(config, subjects)
    log = BadSampleLog(config.bad_samples, None)
    rows = [{"study": "explain", "subject": own.name, **own.facts, "image_size": own.size} for own in subjects]
    if {"fields", "branches"} & set(parts):
        from rapidnet.explain.networks import add_networks

        add_networks(config, parts, subjects, rows, log, console)
    if "maps" in parts:
        add_maps(config, subjects, images, rows, log, console)
    for row in rows:
        row["bad_samples"] = len(log.paths)
    if config.json:
        for row in rows:
            print(json.dumps(row))
    else:
        show(rows, console)
    if config.results:
        append_rows(config.results, rows)
    return 0


def choose_parts(config: ExplainConfig, subjects: Sequence[Subject]) -> tuple[str, ...]:
    """The parts to show; raises UserError for one that was asked for and no subject allows."""
    runs = [subject for subject in subjects if subject.trained]
    if not runs:
        for part in config.part_names if not config.every_part else ():
            if part != "maps":
                raise UserError(f"{part} need a run, and only bundles are given; name the run they were exported from")
        return ("maps",)
    if "branches" not in config.part_names:
        return config.part_names
    from rapidnet.explain.branches import find_blocks

    if any(find_blocks(subject.trained.model) for subject in runs if subject.trained):
        return config.part_names
    if not config.every_part:
        raise UserError(f"{runs[0].name} has no multi-level dilated convolutions, so it has no branches to show")
    return tuple(part for part in config.part_names if part != "branches")


def check_maps(config: ExplainConfig, subjects: Sequence[Subject]) -> None:
    """Raise UserError for maps that cannot be made, before anything takes its time."""
    check_alike([(subject.name, subject.classes, subject.preprocessing) for subject in subjects])
    check_class(config.class_name, subjects[0])
    if "gradcam" not in config.method_names:
        return
    if not all(subject.trained for subject in subjects) and config.method_names == ("gradcam",):
        raise UserError("Grad-CAM needs gradients, which bundles have not; add --maps occlusion")
    for subject in subjects:
        if subject.trained:
            from rapidnet.explain.gradcam import find_layer, require_gradcam

            require_gradcam()
            find_layer(subject.trained.model, config.stage)


def add_maps(
    config: ExplainConfig, subjects: Sequence[Subject], images: Sequence[Path], rows: list[Row], log: BadSampleLog,
    console: Console,
) -> None:  # fmt: skip
    """Put maps into every row, and sheets of them into the output folder."""
    if images:
        pictures = read_files(subjects[0], images, log)
    else:
        pictures = read_validation(subjects[0], config.data, config.map_images, 0, config.seed, log)
    targets = choose_targets(config, subjects[0], pictures)
    with follow("maps", len(subjects) * len(pictures), console) as advance:
        mapped = [map_pictures(config, subject, pictures, targets, advance) for subject in subjects]
    for row, own in zip(rows, mapped, strict=True):
        row["maps"] = describe_maps(own, mapped[0], config, pictures)
    for number, start in enumerate(range(0, len(pictures), ON_A_SHEET)):
        some = slice(start, start + ON_A_SHEET)
        name = "maps.png" if len(pictures) <= ON_A_SHEET else f"maps_{number + 1}.png"
        figure = draw_maps(*cut(mapped, pictures, targets, some))
        save(figure, config, name, console)


def cut(
    mapped: Sequence[Mapped], pictures: Pictures, targets: Sequence[int], some: slice
) -> tuple[list[Mapped], Pictures, Sequence[int]]:
    """What belongs to some of the pictures."""
    parts = [
        replace(own, probabilities=own.probabilities[some], maps={name: m[some] for name, m in own.maps.items()})
        for own in mapped
    ]
    return parts, Pictures(pictures.names[some], pictures.pixels[some], pictures.labels[some]), targets[some]
