"""How are a great many pictures answered into Parquet, part by part, so that a stop loses nothing but time?"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rapidnet.bulk.begin import ask, begin
from rapidnet.bulk.columns import import_pyarrow
from rapidnet.bulk.folders import Folder, is_url, open_folder, refuse_wildcards
from rapidnet.bulk.job import Job
from rapidnet.bulk.network import describe_network
from rapidnet.bulk.parts import Part, name_part, read_part
from rapidnet.bulk.pictures import find_pictures
from rapidnet.bulk.worker import Assignment, Worker
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

FINISHED = "_finished.json"
ASKED_AT_ONCE = 16
"""Footers of parts that are read at the same time."""
LINE_EVERY_S = 30.0

Engine = Callable[[Assignment, PredictConfig, list[int]], Iterator[Part]]
"""Answers parts of a job, given by their numbers, in any order; yields each once, when its file is in its place."""


def run_bulk(config: PredictConfig) -> int:
    """The predict command with --output."""
    started = time.monotonic()
    import_pyarrow()
    refuse_wildcards(config.output)
    engine = choose_engine(config)
    pictures, output = find_pictures(config.images), open_folder(config.output)
    asked = ask(config, describe_network(config))
    job = begin(output, asked, pictures.list(), config.as_listed)
    done = find_done(output, job)
    left = [index for index in range(job.parts) if index not in done]
    strict = config.bad_samples == "error"
    assignment = Assignment(job, pictures.root, pictures.shown, output.url, config.weights, strict)
    notes = Console(stderr=True)
    if done:
        notes.print(f"{len(done)} of {job.parts} parts are there already", highlight=False)
    before = len(done)
    for part in track(engine(assignment, config, left), job, done, notes) if left else ():
        done[part.index] = part
    unreadable = sum(part.unreadable for part in done.values())
    summary = {"pictures": job.pictures, "unreadable": unreadable, "parts": job.parts}
    output.write(FINISHED, (json.dumps(summary) + "\n").encode())
    report(config, summary | {"parts_skipped": before, "seconds": round(time.monotonic() - started, 3)}, notes)
    if unreadable == job.pictures:
        raise UserError(f"none of the {unreadable} images in {config.images} could be read; see the column error")
    return 0


def choose_engine(config: PredictConfig) -> Engine:
    """The function for --engine; raises UserError where it cannot work."""
    if config.engine == "process":
        return answer_here
    from rapidnet.bulk.ray_engine import answer_with_ray

    for place in (config.images, config.output):
        if is_url(place) and place.startswith("memory://"):
            raise UserError(f"{place} is in the memory of this process, where no Ray worker sees it; choose another")
    return answer_with_ray


def answer_here(assignment: Assignment, config: PredictConfig, left: list[int]) -> Iterator[Part]:
    """The `Engine` of one process."""
    with closing(Worker(assignment, config.run)) as worker:
        for index in left:
            yield worker.answer(index)


def find_done(output: Folder, job: Job) -> dict[int, Part]:
    """The parts that are there, by their numbers."""
    names = {entry.name for entry in output.scan("")}
    candidates = [index for index in range(job.parts) if name_part(index) in names]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = pool.map(lambda index: read_part(output, job, index), candidates)
        return {part.index: part for part in found if part}


def track(parts: Iterable[Part], job: Job, done: dict[int, Part], notes: Console) -> Iterator[Part]:
    """The parts as they come, and a bar that follows them; where nobody watches, a line now and then."""
    columns = (
        TextColumn("parts"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    started, pictures, said = time.monotonic(), 0, time.monotonic()
    watched = notes.is_terminal
    with Progress(*columns, console=notes, transient=True, redirect_stdout=False, disable=not watched) as bar:
        task = bar.add_task("", total=job.parts, completed=len(done), rate="")
        for part in parts:
            pictures += part.pictures
            now = time.monotonic()
            rate = f"{pictures / (now - started):.1f} pictures/s"
            bar.update(task, advance=1, rate=rate)
            yield part
            if not watched and now - said > LINE_EVERY_S:
                said = now
                notes.print(f"{len(done)} of {job.parts} parts, {rate}", highlight=False)


def report(config: PredictConfig, facts: dict[str, Any], notes: Console) -> None:
    """Say what was done, to a program or a person."""
    if config.json:
        print(json.dumps({"output": config.output} | facts), flush=True)
        return
    bad = f", {facts['unreadable']} of them unreadable" if facts["unreadable"] else ""
    notes.print(
        f"{facts['pictures']} pictures{bad} in {facts['parts']} parts at [bold]{config.output}[/bold], "
        f"{facts['parts'] - facts['parts_skipped']} of them made now, in {facts['seconds']:.1f} s",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
