"""What do the runtimes' own benchmark programs print, and what does it say?

Layouts as in the programs' sources: LiteRT (TensorFlow Lite) tools/benchmark/benchmark_model.cc with the counts of
stats_calculator.h, ExecuTorch examples/portable/executor_runner, ONNX Runtime test/perftest. Lines may have any
prefix ("INFO: ", a time, logcat's), and a file may hold several logs one after the other.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

MEAN = "latency_ms_mean"
NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"


@dataclass(frozen=True)
class Reading:
    """One result as a program stated it; "" and None where it says nothing.

    times: milliseconds of every run, in their order; empty if only a summary was printed.
    figures: by the names they have in a row: latency_ms_mean, _p50, _p90, _p95, _p99, _min, _max, _std; load_ms,
    first_ms (the first run of all, before or among those that count).
    unit_asked, unit_used: what it was to be computed on, and what it was computed on as far as that is stated.
    facts: whatever else is worth keeping.
    """

    runtime: str
    network: str = ""
    precision: str = ""
    device: str = ""
    system: str = ""
    unit_asked: str = ""
    unit_used: str = ""
    threads: int | None = None
    runs: int | None = None
    times: tuple[float, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)


def summarise(times: list[float] | tuple[float, ...]) -> dict[str, float]:
    """Figures of single runs, in their unit; percentiles interpolate linearly."""
    p50, p90, p99 = np.percentile(times, [50, 90, 99])
    named = {MEAN: np.mean(times), "latency_ms_p50": p50, "latency_ms_p90": p90, "latency_ms_p99": p99}
    named |= {"latency_ms_min": min(times), "latency_ms_max": max(times)}
    return {name: float(value) for name, value in named.items()}


def read_litert(text: str) -> list[Reading]:
    """Logs of benchmark_model, which prints microseconds: counts of the warm-up, counts of the runs, a summary."""
    summary = re.compile(
        rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, "
        rf"Warmup \(avg\): {NUMBER}, Inference \(avg\): {NUMBER}"
    )
    names = {"min": "min", "median": "p50", "p95": "p95", "max": "max", "std": "std"}
    readings = []
    for before, found in split_at(summary, text):
        init, first, _, mean = (float(value) / 1e3 for value in found.groups())
        figures = {"load_ms": init, "first_ms": first, MEAN: mean}
        lines = re.findall(r"\bcount=\d.*", before)
        counted = dict(re.findall(rf"(\w+)={NUMBER}", lines[-1])) if lines else {}
        if "min" not in counted and "curr" in counted:
            # Runs that all took the same time are printed as "count=2 curr=100(all same)".
            counted |= {"min": counted["curr"], "max": counted["curr"], "std": "0"}
        figures |= {f"latency_ms_{ours}": float(counted[name]) / 1e3 for name, ours in names.items() if name in counted}
        readings.append(
            Reading(
                "litert", find(r"Graph: \[(.+?)\]", before), unit_used=describe_delegate(before),
                threads=number(find(r"Num threads: \[(\d+)\]", before)), runs=number(counted.get("count", "")),
                figures=figures,
            )
        )  # fmt: skip
    return readings


def describe_delegate(text: str) -> str:
    """Which delegate took how many of the operators ("XNNPACK 68 of 70 operators"); "" if nothing is said of it."""
    taken = re.findall(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((?:TfLite)?(\w+?)(?:Delegate)?\)", text)
    named = {"XNNPack": "XNNPACK"}
    return ", ".join(f"{named.get(name, name)} {count} of {every} operators" for count, every, name in taken)


def read_executorch(text: str) -> list[Reading]:
    """Logs of executor_runner, in milliseconds: every run in newer versions, the sum of all in older ones."""
    summary = re.compile(rf"Model executed successfully (\d+) time\(s\) in {NUMBER} ms")
    readings = []
    for before, found in split_at(summary, text):
        runs, total = int(found[1]), float(found[2])
        times = tuple(float(value) for value in re.findall(rf"Iteration \d+ of \d+: {NUMBER} ms", before))
        load = find(rf"Model loaded in {NUMBER} ms", before)
        figures = summarise(times) | {"first_ms": times[0]} if times else {MEAN: total / runs}
        figures |= {"load_ms": float(load)} if load else {}
        network = find(r"Model file (\S+) is loaded", before)
        threads = number(find(r"Resetting threadpool with num threads = (\d+)", before))
        readings.append(Reading("executorch", network, threads=threads, runs=runs, times=times, figures=figures))
    return readings


def read_onnxruntime(text: str) -> list[Reading]:
    """Logs of onnxruntime_perf_test: an average in milliseconds, percentiles in seconds after it."""
    summary = re.compile(rf"Average inference time cost total: {NUMBER} ms")
    readings = []
    for before, found in split_at(summary, text):
        following = summary.search(text, found.end())
        after = text[found.end() : following.start() if following else len(text)]
        figures = {MEAN: float(found[1])}
        for name, value in re.findall(rf"\b(Min|Max|P50|P90|P95|P99) Latency: {NUMBER} s", after):
            figures[f"latency_ms_{name.lower()}"] = float(value) * 1e3
        load = find(rf"Session creation time cost: {NUMBER} s", before)
        first = find(rf"First inference time cost: {NUMBER} ms", before)
        figures |= ({"load_ms": float(load) * 1e3} if load else {}) | ({"first_ms": float(first)} if first else {})
        threads = number(find(r"Setting intra_op_num_threads to (\d+)", before))
        runs = number(find(r"Total inference requests: (\d+)", before))
        used = find(r"using (\w+)ExecutionProvider", before)
        readings.append(Reading("onnx", unit_used=used, threads=threads, runs=runs, figures=figures))
    return readings


READERS: dict[str, Callable[[str], list[Reading]]] = {
    "LiteRT benchmark_model": read_litert,
    "ExecuTorch executor_runner": read_executorch,
    "onnxruntime_perf_test": read_onnxruntime,
}


def split_at(pattern: re.Pattern[str], text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Each match, with the text between the one before and it."""
    start = 0
    for found in pattern.finditer(text):
        yield text[start : found.start()], found
        start = found.end()


def find(pattern: str, text: str) -> str:
    """The first group of the last match, or ""."""
    found = re.findall(pattern, text)
    return str(found[-1]) if found else ""


def number(text: str) -> int | None:
    return int(float(text)) if text else None
