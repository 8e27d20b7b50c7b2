"""What does a training step cost, in images per second and in memory, as network and image size grow?

    python scripts/training_cost.py --results results/bench_scaling.jsonl --scaling docs/images/scaling.png

The step is the project's own: normalise, mix, forward, backward, AdamW, averaging. Its images are noise, since reading
and augmenting are another study (docs/throughput.md). Each visit is a process of its own, for its peak memory; visits
take turns in rounds whose order is drawn anew, so that whatever else the machine does falls on all alike. The picture
shows rapidnet bench's rows in the same file as well.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from multiprocessing import get_context
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from rapidnet.benchmark.machine import MAX_OTHERS, UNKNOWN, describe_load, measure_others, read_usage
from rapidnet.benchmark.worker import measure_peak_memory, time_runs
from rapidnet.cli import main as rapidnet
from rapidnet.config import AugmentConfig, TrainConfig
from rapidnet.data.loading import Batch
from rapidnet.environment import append_row, describe_environment
from rapidnet.memory import keep_freed_memory
from rapidnet.training.build import build_fabric, build_run
from rapidnet.training.loop import train_batch

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["rapidnet.training.train"])
UNSTABLE = 3
"""The exit code when the machine had other things to do, as of rapidnet bench."""
MODELS, SIZES = ("rapidnet_ti", "rapidnet_s", "rapidnet_m", "rapidnet_b"), (96, 128, 160, 224)
# The name of a number format -> the options of the training run.
FORMATS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "32-true", "channels_last": False},
    "bf16, channels_last": {"precision": "bf16-mixed", "channels_last": True},
}
WARM_STEPS = 1
Case = tuple[str, str, int]
"""Network, number format, image size."""


def build_step(case: Case, batch_size: int, folder: str) -> Any:
    """A call that trains on one batch, as `rapidnet train` would."""
    model, precision, size = case
    config = TrainConfig(
        data="builtin", model=model, image_size=size, batch_size=batch_size, workers=0, output=folder,
        augment=AugmentConfig(random_erasing=0.25, mixup=0.8, cutmix=1.0), **FORMATS[precision],
    )  # fmt: skip
    run = build_run(config, build_fabric(config), Console(quiet=True), None)
    run.model.train()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch_size, 3, size, size), dtype=torch.uint8, generator=generator)
    keys = [(0, index) for index in range(batch_size)]
    batch = Batch(images, torch.arange(batch_size) % len(run.classes), [], keys, keys)
    return lambda: train_batch(run, batch, run.progress.updates, 1, True, batch_size)


def visit(pipe: Any, case: Case, batch_size: int, threads: int, steps: int) -> None:
    """The body of a process: milliseconds of each step, peak memory in MB, and the share that others used meanwhile."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        step = build_step(case, batch_size, folder)
        before = read_usage([])
        times = time_runs(step, steps, WARM_STEPS)
        pipe.send((times, measure_peak_memory(), measure_others(before, read_usage([]))))


def visit_apart(case: Case, batch_size: int, threads: int, steps: int) -> tuple[list[float], float, float | None]:
    receive, send = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=visit, args=(send, case, batch_size, threads, steps))
    process.start()
    send.close()
    try:
        answer: tuple[list[float], float, float | None] = receive.recv()
    except EOFError:
        sys.exit(f"the process that was to train {case} ended; is there memory enough? give a smaller --batch-size")
    finally:
        process.join()
    return answer


def summarize(visits: list[tuple[list[float], float, float | None]], batch_size: int) -> dict[str, Any]:
    """The figures of one case; an unsteady one has reasons in place of figures.

    spread: of the visits' medians, the largest less the smallest, over their median.
    """
    medians = [median(times) for times, _, _ in visits]
    shares = [share for _, _, share in visits if share is not None]
    busy = median(shares) if shares else None
    row: dict[str, Any] = {
        "spread": (max(medians) - min(medians)) / median(medians), "peak_mb": max(peak for _, peak, _ in visits),
        "rounds": len(visits), "steps": sum(len(times) for times, _, _ in visits),
        "used_by_others": UNKNOWN if busy is None else round(busy, 4), "verdict": "steady", "reasons": [],
    }  # fmt: skip
    if busy is not None and busy > MAX_OTHERS:
        reason = f"others used {busy:.0%} of the processors, at most {MAX_OTHERS:.0%}"
        return row | {"verdict": "unstable", "reasons": [reason]}
    step = median(itertools.chain.from_iterable(times for times, _, _ in visits))
    return row | {"step_ms_p50": step, "images_per_s": batch_size / step * 1e3}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="timed in a visit, after one to warm up")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--results", default="", help="a JSON-lines file to append rows to")
    parser.add_argument("--scaling", default="", help="the picture to draw from --results")
    args = parser.parse_args(arguments)
    if args.scaling and not args.results:
        parser.error("--scaling draws the rows of --results; give both")
    return args


def main(arguments: list[str]) -> int:
    args = parse(arguments)
    cases: list[Case] = list(itertools.product(args.models, FORMATS, args.sizes))
    visits: dict[Case, list[tuple[list[float], float, float | None]]] = {case: [] for case in cases}
    order, load, started = np.random.default_rng(0), describe_load(), time.perf_counter()
    turns = [cases[place] for _ in range(args.rounds) for place in order.permutation(len(cases))]
    for case in track(turns, "measuring", console=Console(stderr=True), transient=True):
        visits[case].append(visit_apart(case, args.batch_size, args.threads, args.steps))
    context = {"load_before": load, "load_after": describe_load(), "environment": describe_environment()}
    rows = [
        {"study": "training_cost", "model": model, "precision": precision, "image_size": size,
         "batch": args.batch_size, "threads": args.threads}
        | summarize(visits[model, precision, size], args.batch_size) | context
        for model, precision, size in cases
    ]  # fmt: skip
    for row in rows:
        if args.results:
            append_row(args.results, row)
        speed = f"{row['images_per_s']:7.1f} images/s" if "images_per_s" in row else "unstable"
        print(f"{row['model']:12s} {row['precision']:20s} {row['image_size']} px  {speed}  {row['peak_mb']:6.0f} MB")
    print(f"{time.perf_counter() - started:.0f} s in all")
    if args.scaling:
        rapidnet(["bench", "--scaling", args.scaling, "--results", args.results])
    return UNSTABLE if any(row["reasons"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
