"""How fast are exported networks on a phone, as far as the runtimes' own programs tell?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.benchmark.adb import LONG, Device, find_device, last_line
from rapidnet.benchmark.android_facts import describe_device, describe_state
from rapidnet.benchmark.android_runners import RUNNERS, RunnerKind, check_fit, check_runner
from rapidnet.benchmark.contestants import Contestant
from rapidnet.benchmark.estimates import compare, estimate
from rapidnet.benchmark.machine import UNKNOWN
from rapidnet.benchmark.runner_logs import MEAN, Reading
from rapidnet.benchmark.schedule import MODES, Mode, plan_block
from rapidnet.config.bench import ONLY_ONE, BenchConfig
from rapidnet.environment import describe_environment
from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import compute_file_hash, is_bundle, read_card
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Array

STUDY, RATIO_STUDY = "bench_android", "bench_android_ratio"
NUMERICS = "checked on the host, not on the device"
WARM_MS = 500
"""Every call is a new process: it warms up for so long, to fill its caches and to raise the clocks."""
FIRST_RUNS = 10


@dataclass(frozen=True)
class Phone:
    """A device that is there and ready, with a program that runs networks of one runtime on it."""

    device: Device
    runtime: str
    runner: Path

    @property
    def kind(self) -> RunnerKind:
        return RUNNERS[self.runtime]

    def call(self, folder: str, file: str, threads: int, runs: int, warm: int) -> Reading:
        """Run a network in a process of its own; the warm-up is not among the times it gives, where they are told.

        Raises:
            UserError: the program fails, or prints nothing that can be read; the device went away.
        """
        command = f"cd {folder} && ./runner {self.kind.arguments(file, runs, warm, threads)} 2>&1"
        answer = self.device.shell(command, LONG)
        name = self.runner.name
        if answer.code:
            said = last_line(answer.text + answer.errors)
            raise UserError(f"{name} failed on the device with exit code {answer.code}: {said}; {self.kind.source}")
        readings = self.kind.read(answer.text)
        if len(readings) != 1:
            raise UserError(
                f"{name} printed nothing that {self.kind.program} prints (the last line: {last_line(answer.text)}); "
                f"{self.kind.source}"
            )
        return readings[0]


def find_phone(config: BenchConfig) -> Phone:
    """The device and the program asked for.

    Raises:
        UserError: something to be measured has no program on Android or needs another than the rest; no device, no
            program.
    """
    runtime = find_runtime(config)
    runner = check_runner(config.runner, runtime)
    return Phone(find_device("" if config.android == ONLY_ONE else config.android), runtime, runner)


def find_runtime(config: BenchConfig) -> str:
    """The runtime of all that is to be measured."""
    runtimes: dict[str, str] = {}
    for name in [*config.what, *config.rivals]:
        plain, _, pinned = name.partition("@")
        if is_bundle(plain):
            card = read_card(plain)
            runtimes[card["format"]] = name
            if card["input"]["max_batch"] > 1 or isinstance(card["input"]["size"], list):
                raise UserError(
                    f"{name} takes inputs of several sizes, of which runners choose the largest; fix its size"
                )
        else:
            runtimes |= dict.fromkeys([pinned] if pinned else config.runtimes, name)
    for runtime, name in runtimes.items():
        if runtime not in RUNNERS:
            raise UserError(f"{name} runs in {runtime}, which has no program to measure it on Android; "
                            f"export it to {' or '.join(RUNNERS)}")  # fmt: skip
    if len(runtimes) > 1:
        raise UserError(f"one runner runs one runtime, not {' and '.join(runtimes)}; measure them one after the other")
    return next(iter(runtimes))


def measure_on_phone(
    phone: Phone, config: BenchConfig, named: list[Contestant], rivals: list[Contestant], threads: int,
    report: Callable[[float], None] = lambda share: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of one number of threads: networks first, then comparisons. Nothing is left on the device.

    Raises:
        UserError: whatever goes wrong there.
    """
    mode, device = MODES[config.mode], phone.device
    contestants = list({item.name: item for item in [*named, *rivals]}.values())
    context: dict[str, Any] = {"mode": config.mode, "threads": threads, "device": describe_device(device)}
    check_fit(phone.runner, context["device"]["abis"])
    with device.folder() as folder:
        device.push(phone.runner, f"{folder}/runner")
        device.shell(f"chmod 755 {folder}/runner")
        calls = {}
        for index, item in enumerate(contestants):
            artifact = Path(item.arguments["path"]) / FORMATS[item.runtime].artifact
            file = f"{index}-{artifact.name}"
            device.push(artifact, f"{folder}/{file}")
            calls[item.name] = partial(phone.call, folder, file, threads)
        context["before"] = describe_state(device)
        readings = take_turns_there(calls, mode, phone.kind.warms, report)
        context["after"] = describe_state(device)
    context["runner"] = {"program": phone.runner.name, "sha256": compute_file_hash(phone.runner)}
    context["environment"] = describe_environment()
    # A serial number in the command says whose device it was; rows are published.
    context["environment"]["command"] = context["environment"]["command"].replace(device.serial, "SERIAL")
    throttled = explain_throttling(context)
    rows = [describe_item(item, phone, readings[item.name], throttled) for item in contestants]
    rows += [
        describe_ratio(item, rival, readings, throttled)
        for item in named for rival in rivals if item.name != rival.name
    ]  # fmt: skip
    # An emulator's figures say nothing of a phone.
    quotable = mode.headline and not context["device"]["emulator"]
    return [row | {"headline": quotable and not row["reasons"]} | context for row in rows]


def take_turns_there(
    calls: Mapping[str, Callable[[int, int], Reading]], mode: Mode, warms: bool,
    report: Callable[[float], None] = lambda share: None, seed: int = 0,
) -> dict[str, list[Reading]]:  # fmt: skip
    """Each network's blocks: calls of its program one by one, in an order drawn anew each round (as `take_turns`).

    warms: whether the program leaves its warm-up out by itself; otherwise it is cut off here.
    """
    plans = {}
    for name, call in calls.items():
        run_ms = read_blocks([call(FIRST_RUNS, FIRST_RUNS)]).mean()
        plans[name] = (*plan_block(run_ms, mode), max(2, int(np.ceil(WARM_MS / run_ms))))
    rounds = max(blocks for _, blocks, _ in plans.values())
    order, done = np.random.default_rng(seed), 0
    readings: dict[str, list[Reading]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in order.permutation(list(calls)):
            runs, _, warm = plans[name]
            reading = calls[name](runs, warm)
            if reading.times and not warms:
                reading = replace(reading, times=reading.times[warm:], runs=len(reading.times) - warm)
            readings[name].append(reading)
            done += 1
            report(done / (rounds * len(calls)))
    return readings


def read_blocks(readings: list[Reading]) -> Array:
    """Milliseconds [blocks, runs] where every run is told, [blocks, 1] (averages) where not."""
    if all(reading.times for reading in readings):
        shortest = min(len(reading.times) for reading in readings)
        return np.array([reading.times[:shortest] for reading in readings])
    return np.array([[reading.figures[MEAN]] for reading in readings])


def describe_item(item: Contestant, phone: Phone, readings: list[Reading], throttled: list[str]) -> dict[str, Any]:
    """A row of one network. A program that prints averages gets no percentile of its runs."""
    times = read_blocks(readings)
    single = all(reading.times for reading in readings)
    found = estimate(times)
    reasons = throttled + [reason if single else reason.replace("the runs", "the averages") for reason in found.reasons]
    row: dict[str, Any] = {
        "study": STUDY, "name": item.label, "model": item.model, "runtime": item.runtime, "precision": item.precision,
        "verdict": "unstable" if reasons else "steady", "reasons": reasons,
        "batch": 1, "image_size": read_card(item.arguments["path"])["input"]["size"], "inputs": phone.kind.inputs,
        "numerics": NUMERICS, "blocks": len(readings),
        "runs": sum(reading.runs or 0 for reading in readings) or UNKNOWN,
        "told": "every run" if single else "averages" if phone.kind.warms else "averages with the warm-up",
        "spread": found.spread, "drift": found.drift,
        "compute_unit_asked": "CPU", "compute_unit_used": readings[0].unit_used or UNKNOWN,
        **take_medians(readings, {"load_ms": "load_ms", "first_ms": "first_ms"}), **item.facts,
    }  # fmt: skip
    if reasons:
        return row
    row[MEAN] = float(times.mean())
    if single:
        return row | {"latency_ms_p50": found.p50, "latency_ms_p90": found.p90, "latency_ms_p99": found.p99}
    row |= {"block_mean_ms_p50": found.p50, "block_mean_ms_p90": found.p90}
    # What the program says of the runs of one call.
    return row | take_medians(readings, {"latency_ms_p50": "call_ms_p50", "latency_ms_p95": "call_ms_p95"})


def take_medians(readings: list[Reading], names: dict[str, str]) -> dict[str, float]:
    """The middle of a figure over all calls, by another name; without those that no call tells."""
    told = {ours: [item.figures[name] for item in readings if name in item.figures] for name, ours in names.items()}
    return {name: float(np.median(values)) for name, values in told.items() if values}


def describe_ratio(
    item: Contestant, rival: Contestant, readings: dict[str, list[Reading]], throttled: list[str]
) -> dict[str, Any]:
    ratio = compare(read_blocks(readings[item.name]), read_blocks(readings[rival.name]))
    reasons = throttled + ratio.reasons
    row = {
        "study": RATIO_STUDY, "name": item.label, "against": rival.label, "model": item.model,
        "against_model": rival.model, "runtime": item.runtime, "precision": item.precision,
        "against_runtime": rival.runtime, "against_precision": rival.precision, "blocks": len(readings[item.name]),
        "batch": item.point.batch, "image_size": item.arguments["image_size"],
        "against_image_size": rival.arguments["image_size"], "reasons": reasons,
    }  # fmt: skip
    return row | ({"verdict": "unstable"} if reasons else ratio.to_dict())


def explain_throttling(context: dict[str, Any]) -> list[str]:
    """Why the device was too warm to be measured; empty if it was not, or does not tell."""
    states = {when: context[when]["thermal"] for when in ("before", "after")}
    hot = {when: state for when, state in states.items() if state not in ("none", UNKNOWN)}
    return [f"the device slows itself down for heat: thermal status {state} {when}" for when, state in hot.items()]
