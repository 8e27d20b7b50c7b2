"""Where does an AOTInductor package's time go, by the operators it calls and the kernels it was compiled with?

torch's profiler sees the operators that a package calls, and not its own fused kernels. Those run one after the
other between the operators, in the order of the package's source, so the time between is theirs.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.aot_inductor import load_package, read_wrapper
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import WARM_RUNS, OperatorTime, take_medians

# A call of an operator, or of a fused kernel.
STEP = re.compile(r"CODE_CHECK\(aoti_torch_cpu_(\w+)\(|^\s+(cpp_fused\w*)\(", re.M)
RUN = "rapidnet_run"
TORCH, FUSED = "CPU, torch's operator", "CPU, fused kernel"
PORTION = 10
"""Runs that are traced at a time: a run may have thousands of events, of every small operator within another."""


@dataclass
class Span:
    """What the profiler noted, in microseconds, with what ran within it."""

    name: str
    start: float
    end: float
    inner: list["Span"] = field(default_factory=list)


def profile_torch(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorTime]:
    """Operators by what computes them (oneDNN or torch itself), fused kernels by what they compute.

    Raises:
        UserError: a package that does not run what its source says.
    """
    torch, package = load_package(path, threads)
    steps: list[tuple[str, str]] = STEP.findall(read_wrapper(path))
    pixels = torch.from_numpy(np.ascontiguousarray(images))
    times: dict[tuple[str, str, str], list[float]] = {}
    with torch.inference_mode():
        for _ in range(WARM_RUNS):
            package(pixels)
        for start in range(0, runs, PORTION):
            for run in trace(torch, package, pixels, min(PORTION, runs - start)):
                for key, milliseconds in divide(run, steps, path):
                    times.setdefault(key, []).append(milliseconds)
    return take_medians(times)


def trace(torch: Any, package: Any, pixels: Any, runs: int) -> list[Span]:
    """What happened in each run."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(runs):
            with torch.profiler.record_function(RUN):
                package(pixels)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    thread = next(event["tid"] for event in events if event["name"] == RUN)
    return [span for span in nest([event for event in events if event["tid"] == thread]) if span.name == RUN]


def nest(events: list[dict[str, Any]]) -> list[Span]:
    """One thread's events of a trace -> those within no other; events of no length are left out."""
    roots: list[Span] = []
    open_spans: list[Span] = []
    for event in sorted((item for item in events if "dur" in item), key=lambda item: (item["ts"], -item["dur"])):
        span = Span(event["name"], event["ts"], event["ts"] + event["dur"])
        while open_spans and open_spans[-1].end <= span.start:
            open_spans.pop()
        (open_spans[-1].inner if open_spans else roots).append(span)
        open_spans.append(span)
    return roots


def divide(run: Span, steps: list[tuple[str, str]], path: Path) -> Iterator[tuple[tuple[str, str, str], float]]:
    """((name, kind, unit), milliseconds) of every operator of a run, and of the kernels between two of them.

    Kernels that follow each other without an operator between are one.
    """
    if len(run.inner) != sum(bool(operator) for operator, _ in steps):
        raise UserError(f"torch package {path} does not call the operators that its source names; export it again")
    calls = iter(run.inner)
    kernels: list[str] = []
    before = run.start
    for place, (operator, kernel) in enumerate([*steps, ("", "")]):
        if kernel:
            kernels.append(kernel)
            continue
        call = next(calls) if operator else Span("", run.end, run.end)
        if kernels:
            kinds = dict.fromkeys(re.sub(r"_\d+$", "", name) for name in kernels)
            yield (f"{', '.join(kernels)} #{place}", ", ".join(kinds), FUSED), (call.start - before) / 1e3
        if operator:
            # A convolution asks which of its kinds to take, and calls that.
            within = max(call.inner, key=lambda span: span.end - span.start, default=call)
            yield (f"{operator} #{place}", within.name, TORCH), (call.end - call.start) / 1e3
        kernels, before = [], call.end
