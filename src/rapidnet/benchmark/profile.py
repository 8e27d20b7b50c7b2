"""Where does a network's time go? One table for each: kind of operator, what runs it, time, share, and a hint."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rapidnet.benchmark.contestants import Contestant
from rapidnet.config.bench import BenchConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError

RUNS = 100
NOTEWORTHY = 0.05
"""The share of the time from which on an operator deserves a hint."""
# What a kind's name contains, in lower case -> what can be done about it; the first that fits.
HINTS = {
    "gelu": "an activation computed by itself: int8, or a network trained with hard-swish or ReLU, saves most of it",
    "subgraph": "elementwise operators compiled into one, activations mostly: int8 or a cheaper activation",
    "qlinearmul": "the product in a GELU of bytes: a network trained with ReLU saves it",
    "mul": "elementwise: fold constants into the convolution before it, or choose a cheaper activation",
    "reorder": "a change of layout: keep operators that the runtime cannot fuse out of the middle of the network",
    "transpose": "a change of layout: keep operators that the runtime cannot fuse out of the middle of the network",
    "convert": "a change of number format: a layer in between is computed in float",
    "quantize": "a change of number format: a layer in between is computed in float",
    "softmax": "over many classes; take raw logits with --raw",
    "gemm": "arithmetic: a smaller image, a smaller variant or int8",
    "conv": "arithmetic: a smaller image, a smaller variant or int8",
}


def report_profiles(config: BenchConfig, contestants: Sequence[Contestant], console: Console) -> int:
    """Profile every bundle and print its table (or JSON lines); always 0.

    Raises:
        UserError: a runtime that tells nothing of its operators.
    """
    for contestant in contestants:
        for threads in config.thread_counts:
            with console.status(f"{contestant.label}: profiling"):
                operators = profile_apart(contestant, threads)
            row = describe_profile(contestant, threads, operators)
            if config.results:
                append_row(config.results, row)
            if config.json:
                print(json.dumps(row))
            else:
                console.print(build_profile_table(row))
    return 0


def profile_apart(contestant: Contestant, threads: int) -> list[dict[str, Any]]:
    """Every operator as the runtime counted it, from a process of its own.

    Raises:
        UserError: as `profile_artifact`.
    """
    if contestant.kind != "bundle":
        raise UserError(f"{contestant.runtime} is not profiled; give a runtime that an exported network runs in")
    order = json.dumps(contestant.arguments | {"threads": threads, "runs": RUNS})
    command = [sys.executable, "-m", "rapidnet.benchmark.worker", "profile", order]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the profiling process said nothing"]
        raise UserError(lines[-1])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise UserError(answer["error"])
    return list(answer["operators"])


def describe_profile(contestant: Contestant, threads: int, operators: list[dict[str, Any]]) -> dict[str, Any]:
    """A row: kinds of operators, dearest first, with what ran them and their share of the sum."""
    kinds: dict[tuple[str, str], list[float]] = {}
    for operator in operators:
        kinds.setdefault((operator["kind"], operator["unit"]), []).append(operator["ms"])
    total = sum(operator["ms"] for operator in operators)
    rows = [
        {"kind": kind, "unit": unit, "calls": len(times), "ms": sum(times), "share": sum(times) / total}
        for (kind, unit), times in kinds.items()
    ]
    rows.sort(key=lambda row: -float(row["ms"]))
    return {
        "study": "bench_profile", "name": contestant.label, "model": contestant.model, "runtime": contestant.runtime,
        "precision": contestant.precision, "threads": threads, "batch": contestant.arguments["batch"],
        "image_size": contestant.arguments["image_size"], "runs": RUNS, "ms": total, "kinds": rows,
        "environment": describe_environment(),
    }  # fmt: skip


def build_profile_table(row: dict[str, Any]) -> Table:
    place = f"{row['batch']} of {row['image_size']} px, threads: {row['threads']}"
    title = f"{row['name']}, {row['runtime']} {row['precision']}, {place}, {row['ms']:.2f} ms in all"
    table = Table(title=title, box=SIMPLE_HEAD)
    for heading in ("operator", "run by"):
        table.add_column(heading, overflow="fold")
    for heading in ("calls", "ms", "share %"):
        table.add_column(heading, justify="right")
    table.add_column("hint", overflow="fold")
    for kind in row["kinds"]:
        hint = find_hint(kind["kind"]) if kind["share"] >= NOTEWORTHY else ""
        shown = kind["kind"], kind["unit"], str(kind["calls"]), f"{kind['ms']:.3f}", f"{100 * kind['share']:.1f}"
        table.add_row(*shown, hint)
    return table


def find_hint(kind: str) -> str:
    """What can be done about a kind of operator; '' if nothing is known."""
    return next((hint for part, hint in HINTS.items() if part in kind.lower()), "")
