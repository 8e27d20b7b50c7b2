"""Where does a network's time go? One table for each: kind of operator, what runs it, time, share; and hints."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from rapidnet.benchmark.contestants import Contestant
from rapidnet.benchmark.hints import find_hint
from rapidnet.benchmark.narrow_table import print_table
from rapidnet.config.bench import BenchConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.runtimes.operator_time import OUTSIDE

RUNS = 100
NOTEWORTHY = 0.05
"""The share of the time from which on an operator deserves a hint."""
DELEGATING = ("executorch", "litert")
"""Runtimes that hand what they can to a delegate and run the rest themselves."""


def report_profiles(config: BenchConfig, contestants: Sequence[Contestant], console: Console) -> int:
    """Profile every bundle and print its table (or JSON lines); always 0.

    Raises:
        UserError: a runtime that tells nothing of its operators.
    """
    for contestant in contestants:
        for threads in config.thread_counts:
            with console.status(f"{contestant.label}: profiling"):
                answer = profile_apart(contestant, threads)
            row = describe_profile(contestant, threads, answer)
            if config.results:
                append_row(config.results, row)
            if config.json:
                print(json.dumps(row))
            else:
                print_profile(row, console)
    return 0


def profile_apart(contestant: Contestant, threads: int) -> dict[str, Any]:
    """What `rapidnet.benchmark.worker.profile` answers, from a process of its own.

    Raises:
        UserError: as `profile_artifact`.
    """
    if contestant.kind != "bundle":
        raise UserError(f"{contestant.runtime} is not profiled; give a runtime that an exported network runs in")
    order = json.dumps(contestant.arguments | {"threads": threads, "runs": RUNS})
    command = [sys.executable, "-m", "rapidnet.benchmark.worker", "profile", order]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise UserError(f"profiling {contestant.name} ended by signal {-done.returncode}; open it with rapidnet verify")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the profiling process said nothing"]
        raise UserError(lines[-1])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise UserError(answer["error"])
    return answer


def describe_profile(contestant: Contestant, threads: int, answer: dict[str, Any]) -> dict[str, Any]:
    """A row: kinds of operators and what ran them, dearest first, with their share of the sum.

    Times where the runtime counted; where it only estimates (Core ML), shares alone, and `estimated` says so.
    """
    operators = answer["operators"]
    estimated = "share" in operators[0]
    measure = "share" if estimated else "ms"
    total = sum(operator[measure] for operator in operators) or 1.0
    about = {
        "study": "bench_profile", "name": contestant.label, "model": contestant.model, "runtime": contestant.runtime,
        "precision": contestant.precision, "estimated": estimated, "batch": contestant.arguments["batch"],
        "image_size": contestant.arguments["image_size"],
    }  # fmt: skip
    if not estimated:
        about |= {"threads": threads, "runs": RUNS, "ms": total, "fastest_ms": answer["fastest_ms"]}
    for name, keys in (("kinds", ("kind", "unit")), ("units", ("unit",))):
        rows = []
        for group in dict.fromkeys(tuple(operator[key] for key in keys) for operator in operators):
            values = [item[measure] for item in operators if tuple(item[key] for key in keys) == group]
            row: dict[str, Any] = dict(zip(keys, group, strict=True)) | {"calls": len(values)}
            rows.append(row | ({} if estimated else {"ms": sum(values)}) | {"share": sum(values) / total})
        about[name] = sorted(rows, key=lambda row: -float(row["share"]))
    return about | {"environment": describe_environment()}


def print_profile(row: dict[str, Any], console: Console) -> None:
    """What the operators took, then a hint for each that took much, and what ran them."""
    title = f"{row['name']}, {row['runtime']} {row['precision']}, {row['batch']} of {row['image_size']} px"
    columns = {
        "operator": [kind["kind"] for kind in row["kinds"]],
        "run by": [kind["unit"] for kind in row["kinds"]],
        "calls": [str(kind["calls"]) for kind in row["kinds"]],
    }
    if row["estimated"]:
        note = "\nnot timed: shares of the cost that the runtime expects, and where it prefers to run each operator"
    else:
        title += f", threads: {row['threads']}"
        note = f"\n{row['ms']:.2f} ms in all (the fastest run without counting: {row['fastest_ms']:.2f} ms)"
        columns["ms"] = [f"{kind['ms']:.3f}" for kind in row["kinds"]]
    columns["share %"] = [f"{100 * kind['share']:.1f}" for kind in row["kinds"]]
    print_table(console, title, columns, ("operator", "run by"), note)
    console.print()
    hints = [f"{kind['kind']}: {hint}" for kind in row["kinds"] if (hint := describe_hint(kind, row["precision"]))]
    for line in [*dict.fromkeys(hints), describe_placement(row)]:
        console.print(line, highlight=False, markup=False)


def describe_hint(kind: dict[str, Any], precision: str) -> str:
    """What can be done about a kind of operator that took much; '' for others."""
    hint = find_hint(kind["kind"], precision) if kind["share"] >= NOTEWORTHY else ""
    return f"left to plain kernels; {hint}" if hint and kind["unit"] == OUTSIDE else hint


def describe_placement(row: dict[str, Any]) -> str:
    """One line: what ran how much, and which operators a delegate left out."""
    parts = [f"{unit['unit']} {100 * unit['share']:.1f}% ({count(unit['calls'])})" for unit in row["units"]]
    line = f"{'Expected to be run' if row['estimated'] else 'Run'} by: {'; '.join(parts)}."
    if row["runtime"] in DELEGATING:
        left = [f"{kind['kind']} ({kind['calls']})" for kind in row["kinds"] if kind["unit"] == OUTSIDE]
        line += f" Left out of the delegate: {', '.join(left) or 'nothing'}."
    return line


def count(operators: int) -> str:
    return f"{operators} operator{'s' if operators > 1 else ''}"
