"""How fast are these networks on this machine, and which is faster?"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rapidnet.benchmark.android import find_phone, measure_on_phone
from rapidnet.benchmark.bench_report import print_report
from rapidnet.benchmark.contestants import Contestant, build_contestants
from rapidnet.benchmark.device_report import print_device_report
from rapidnet.benchmark.drawing import draw, draw_results
from rapidnet.benchmark.estimates import Estimate, compare, estimate
from rapidnet.benchmark.machine import (
    MAX_OTHERS,
    UNKNOWN,
    choose_cpus,
    describe_load,
    describe_processor,
    measure_others,
    read_usage,
)
from rapidnet.benchmark.measured_peers import build_peers
from rapidnet.benchmark.process import WorkerProcess
from rapidnet.benchmark.profile import report_profiles
from rapidnet.benchmark.schedule import MODES, Mode, take_turns
from rapidnet.config.bench import BenchConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array

UNSTABLE = 3
"""The exit code when the machine was too busy or too uneven for a figure."""
GEMM = "gemm"
SPLIT_RUNS = 20
PHOTOGRAPH = "retina.jpg"
"""Of scikit-image: 1411 x 1411 pixels, 270 kB."""


@dataclass(frozen=True)
class Measured:
    """One contestant's timings [blocks, runs] in milliseconds, what they say, and what its process said of itself."""

    contestant: Contestant
    times: Array
    estimate: Estimate
    facts: dict[str, Any]
    split: dict[str, float]


def run_bench(config: BenchConfig) -> int:
    """The bench command: 0 if every figure is steady, 3 if one is not.

    Raises:
        UserError: what cannot be measured, or fails its numeric check.
    """
    console = Console(stderr=config.json)
    if not config.what:
        return draw_results(config, console)
    # Whatever is missing there is said before the networks are checked, which takes its time.
    phone = find_phone(config) if config.android else None
    with ExitStack() as stack:
        folder = Path(config.keep or stack.enter_context(tempfile.TemporaryDirectory()))
        named = build_contestants(config, config.what, folder, console)
        rivals = build_contestants(config, config.rivals, folder, console)
        if config.compute_unit and not any(item.arguments.get("unit") for item in [*named, *rivals]):
            raise UserError("compute_unit has no effect without a Core ML bundle; leave it out")
        left_out: list[dict[str, Any]] = []
        if config.against_peers:
            peers, left_out = build_peers(config, {item.model for item in [*named, *rivals]}, folder, console)
            rivals += peers
        if config.profile:
            return report_profiles(config, named, console)
        photograph = config.image or str(Path(skimage.__file__).parent / "data" / PHOTOGRAPH)
        rows = []
        for threads in config.thread_counts:
            if phone is None:
                rows += measure(config, named, rivals, threads, photograph, console)
                continue
            with show_progress(console) as report:
                rows += measure_on_phone(phone, config, named, rivals, threads, report)
    for row in rows + left_out:
        if config.results:
            append_row(config.results, row)
        if config.json:
            print(json.dumps(row))
    if not config.json:
        (print_report if phone is None else print_device_report)(rows, console)
    draw(config, rows, console)
    return UNSTABLE if any(row.get("verdict") == "unstable" for row in rows) else 0


def measure(
    config: BenchConfig, named: list[Contestant], rivals: list[Contestant], threads: int, photograph: str,
    console: Console,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of one number of threads: networks first, then comparisons."""
    mode = MODES[config.mode]
    contestants = list({contestant.name: contestant for contestant in [*named, *rivals]}.values())
    context = {"mode": config.mode, "threads": threads, "load_before": describe_load(), **describe_processor()}
    with open_workers(contestants, threads) as workers:
        before = read_usage([worker.pid for worker in workers.values()])
        with show_progress(console) as report:
            times = take_turns(workers, mode, report)
        others = measure_others(before, read_usage([worker.pid for worker in workers.values()]))
        found = {
            item.name: Measured(
                item, times[item.name], estimate(times[item.name]),
                workers[item.name].facts | workers[item.name].ask("memory"), split_time(workers[item.name], photograph),
            )
            for item in contestants
        }  # fmt: skip
        gemm = workers[GEMM].facts
    context |= {"gemm_gflops": gemm["gflop"] / float(np.median(times[GEMM])) * 1e3, "gemm": gemm["runtime"]}
    context |= {"load_after": describe_load(), "used_by_others": UNKNOWN if others is None else round(others, 4)}
    context["environment"] = describe_environment()
    rows = [describe_measured(item, context, mode) for item in found.values()]
    return rows + list(describe_ratios(named, rivals, found, context, mode))


@contextmanager
def open_workers(contestants: list[Contestant], threads: int) -> Iterator[dict[str, WorkerProcess]]:
    """A process for each contestant and one for the matrix product, all bound to the same processors."""
    cpus = choose_cpus(threads)
    workers: dict[str, WorkerProcess] = {}
    try:
        for item in contestants:
            workers[item.name] = WorkerProcess(item.kind, item.arguments | {"threads": threads}, threads, cpus)
        workers[GEMM] = WorkerProcess(GEMM, {"threads": threads}, threads, cpus)
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


@contextmanager
def show_progress(console: Console) -> Iterator[Any]:
    with Progress(
        TextColumn("measuring"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeRemainingColumn(),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task("measuring", total=1.0)
        yield lambda share: progress.update(task, completed=share)


def split_time(worker: WorkerProcess, photograph: str) -> dict[str, float]:
    """Median milliseconds of each step from a file to class numbers; empty for what takes no photographs."""
    if "decode" not in worker.split(photograph):
        return {}
    splits = [worker.split(photograph) for _ in range(SPLIT_RUNS)]
    return {step: float(np.median([split[step] for split in splits])) for step in splits[0]}


def describe_measured(item: Measured, context: dict[str, Any], mode: Mode) -> dict[str, Any]:
    """A row of one network. An unsteady one has reasons in place of figures."""
    contestant, found, facts = item.contestant, item.estimate, item.facts
    reasons = describe_others(context) + found.reasons
    row: dict[str, Any] = {
        "study": "bench",
        "name": contestant.label,
        "model": contestant.model,
        "runtime": contestant.runtime,
        "precision": contestant.precision,
        "verdict": "unstable" if reasons else "steady",
        "reasons": reasons,
        "headline": mode.headline and not reasons,
        "batch": facts["batch"],
        "image_size": facts["image_size"],
        "spread": found.spread,
        "drift": found.drift,
        "runs": found.runs,
        "blocks": len(item.times),
        "load_ms": facts["load_ms"],
        "first_ms": facts["first_ms"],
        "peak_mb": facts["peak_mb"],
        "opened": facts["runtime"],
        "compute_unit_asked": contestant.arguments.get("unit") or "CPU",
        "compute_unit_used": facts.get("compute_unit", "CPU"),
        **contestant.facts,
    }
    if not reasons:
        row |= {"latency_ms_p50": found.p50, "latency_ms_p90": found.p90, "latency_ms_p99": found.p99}
        row |= {"images_per_s": facts["batch"] / found.p50 * 1e3, "split_ms": item.split}
        if "gmacs" in contestant.facts:
            row["gflops"] = 2 * contestant.facts["gmacs"] * facts["batch"] / found.p50 * 1e3
            row["gemm_share"] = row["gflops"] / context["gemm_gflops"]
    return row | context


def describe_ratios(
    named: list[Contestant], rivals: list[Contestant], found: dict[str, Measured], context: dict[str, Any], mode: Mode
) -> Iterator[dict[str, Any]]:
    """A row for each pair of the same runtime, precision and point; a rival of a runtime of its own meets everybody."""
    groups = {rival.group for rival in rivals if not rival.pinned}
    for item in named:
        for rival in rivals:
            apart = item.group in groups and item.group != rival.group and not rival.pinned
            if item.name == rival.name or item.point != rival.point or apart:
                continue
            ratio = compare(found[item.name].times, found[rival.name].times)
            reasons = describe_others(context) + ratio.reasons
            row = {
                "study": "bench_ratio", "name": item.label, "against": rival.label, "model": item.model,
                "against_model": rival.model, "runtime": item.runtime, "precision": item.precision,
                "against_runtime": rival.runtime, "against_precision": rival.precision,
                "batch": item.arguments["batch"], "image_size": item.arguments["image_size"],
                "against_image_size": rival.arguments["image_size"],
                "blocks": len(found[item.name].times),
                "headline": mode.headline and not reasons, "reasons": reasons,
            }  # fmt: skip
            yield row | ({"verdict": "unstable"} if reasons else ratio.to_dict()) | context


def describe_others(context: dict[str, Any]) -> list[str]:
    """Why a machine was too busy; empty if it was not, or if nobody knows."""
    others = context["used_by_others"]
    if others == UNKNOWN or others <= MAX_OTHERS:
        return []
    return [f"others used {others:.0%} of the processors, at most {MAX_OTHERS:.0%}"]
