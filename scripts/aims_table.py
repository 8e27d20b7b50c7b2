"""What speed was to be reached, what was, and what bounds it? Aims are data here, all else comes from results/."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench_tables import read_latest, read_results
from latency_tables import PEER, TI
from markdown_table import table

EXPORTED, RELU = "as exported", "ReLU"
"""Attempts of results/speed_attempts.jsonl."""


@dataclass(frozen=True)
class Aim:
    """What Ti was to reach in one runtime and precision.

    measure: a key of MEASURES, which says from which rows the figure is. least: what had to be reached at the least; in
    words where it is no number. When the aims were set Ti stood at `then`, on another machine; `before` is the attempt
    that measures here what the network was then.
    """

    measure: str
    runtime: str
    precision: str
    aim: float
    least: float | str = ""
    then: float | None = None
    before: str = ""


AIMS = (
    Aim("ratio", "onnx", "fp32", 1.00, "as before", then=1.07),
    Aim("ratio", "openvino", "fp32", 1.00, "as before"),
    Aim("ratio", "executorch", "fp32", 1.10, "as before"),
    Aim("ratio", "onnx", "int8", 0.90, 1.30),
    Aim("ratio", "openvino", "int8", 0.90, 1.08, then=1.17, before="exact GELU, fused, as NNCF leaves it"),
    Aim("ratio", "executorch", "int8", 0.90),
    Aim("ratio", "openvino", "bf16", 0.90),
    Aim("speedup", "openvino", "fp32", 2.4, 2.1),
    Aim("speedup", "openvino", "int8", 6.0, 4.5),
    Aim("gemm", "onnx", "fp32", 0.88),
    Aim("gemm", "openvino", "fp32", 0.88),
    Aim("gemm", "executorch", "fp32", 0.80),
)


def read_ratios(aim: Aim) -> list[float]:
    """Times as long as MobileNetV2 x1.4: every standard run in bench.jsonl, and the attempts' network as exported."""
    rows = [row for row in read_standard("bench_ratio", aim) if row["against_model"] == PEER]
    return [row["ratio"] for row in rows if "ratio" in row] + read_attempt(aim, EXPORTED)


def read_speedups(aim: Aim) -> list[float]:
    """Times as fast as the authors' network in eager torch: every standard run in bench.jsonl."""
    rows = [row for row in read_standard("bench_ratio", aim) if row["against_runtime"] == "eager"]
    return [1 / row["ratio"] for row in rows if "ratio" in row]


def read_gemm_shares(aim: Aim) -> list[float]:
    """Share of a matrix product's GFLOP/s: every steady standard run in bench.jsonl."""
    return [row["gemm_share"] for row in read_standard("bench", aim) if "gemm_share" in row]


def read_standard(study: str, aim: Aim) -> list[dict[str, Any]]:
    wanted = TI, aim.runtime, aim.precision, "standard", 1
    keys = ("model", "runtime", "precision", "mode", "threads")
    return [row for row in read_results("bench.jsonl", study) if tuple(row[key] for key in keys) == wanted]


def read_attempt(aim: Aim, attempt: str) -> list[float]:
    """An attempt's ratio to MobileNetV2 x1.4 in the aim's runtime and precision; none where it was not tried."""
    keys = ("runtime", "precision", "attempt")
    return [
        row["against_peer"]["ratio"] for row in read_latest("speed_attempts.jsonl", "speed_attempts", keys)
        if tuple(row[key] for key in keys) == (aim.runtime, aim.precision, attempt)
    ]  # fmt: skip


def read_trained(aim: Aim, activation: str) -> list[float]:
    """The ratio of a network trained with another activation; there are some in int8 only."""
    keys = ("runtime", "precision", "name")
    return [
        row["ratio"] for row in read_latest("activations.jsonl", "bench_ratio", keys)
        if tuple(row[key] for key in keys) == (aim.runtime, aim.precision, activation) and "ratio" in row
    ]  # fmt: skip


def read_convolutions(aim: Aim) -> list[float]:
    """The share of GEMM while convolutions run, of the last steady run and a profile that tells GELUs from them."""
    found = []
    for row in read_results("bench_profile.jsonl", "bench_profile"):
        kinds = {kind["kind"].lower(): kind["share"] for kind in row["kinds"]}
        wanted = (row["model"], row["runtime"], row["precision"]) == (TI, aim.runtime, aim.precision)
        if wanted and any("gelu" in kind for kind in kinds):
            found.append(sum(share for kind, share in kinds.items() if re.search("conv|gemm|fully", kind)))
    shares = read_gemm_shares(aim)
    return [shares[-1] / found[-1]] if shares and found else []


@dataclass(frozen=True)
class Measure:
    """How an aim's figures are called, read, written and judged; `bound`: what they would be if GELUs cost nothing."""

    what: str
    read: Callable[[Aim], list[float]]
    show: Callable[[float], str]
    more_is_better: bool = False
    bound: Callable[[Aim], list[float]] = lambda aim: []

    def reaches(self, figures: list[float], wanted: float) -> bool:
        """Whether every run reaches it."""
        return min(figures) >= wanted if self.more_is_better else max(figures) <= wanted


MEASURES = {
    "ratio": Measure(
        "times as long as MobileNetV2 x1.4", read_ratios, lambda value: f"{value:.2f}",
        bound=lambda aim: read_attempt(aim, RELU),
    ),
    "speedup": Measure(
        "times as fast as in eager torch", read_speedups, lambda value: f"{value:.1f}", more_is_better=True
    ),
    "gemm": Measure(
        "GFLOP/s, of a matrix product's", read_gemm_shares, lambda value: f"{value:.0%}", more_is_better=True,
        bound=read_convolutions,
    ),
}  # fmt: skip


def aims() -> str:
    return table(
        ["Ti", "in", "aim", "at the least", "when they were set, elsewhere", "measured here", "",
         "the network as it was then, here", "GELUs for nothing", "trained with hard-swish", "trained with ReLU"],
        [describe_aim(aim, MEASURES[aim.measure]) for aim in AIMS],
    )  # fmt: skip


def describe_aim(aim: Aim, measure: Measure) -> list[str]:
    figures = measure.read(aim)
    least = aim.least if isinstance(aim.least, str) else measure.show(aim.least)
    others = [measure.bound(aim), *(read_trained(aim, name) if aim.measure == "ratio" else []
                                    for name in ("hard_swish", "relu"))]  # fmt: skip
    return [
        measure.what, f"{aim.runtime} {aim.precision}", measure.show(aim.aim), least,
        measure.show(aim.then) if aim.then else "", describe_range(figures, measure.show), judge(aim, measure, figures),
        describe_before(aim, measure), *(measure.show(values[-1]) if values else "" for values in others),
    ]  # fmt: skip


def describe_range(figures: list[float], show: Callable[[float], str]) -> str:
    """The lowest and the highest; one figure where they are written alike."""
    return " to ".join(dict.fromkeys(show(value) for value in (min(figures), max(figures)))) if figures else "unstable"


def judge(aim: Aim, measure: Measure, figures: list[float]) -> str:
    """By the worst of the runs."""
    if not figures:
        return ""
    if measure.reaches(figures, aim.aim):
        return "**aim reached**"
    if isinstance(aim.least, str):
        return "aim missed"
    return "least reached, aim missed" if measure.reaches(figures, aim.least) else "**missed**"


def describe_before(aim: Aim, measure: Measure) -> str:
    """What the network was, the share of it that is left in the same run, and the share that was asked for."""
    before, now = read_attempt(aim, aim.before), read_attempt(aim, EXPORTED)
    if not before or not now:
        return ""
    asked = f" ({aim.least / aim.then:.2f} asked)" if aim.then and isinstance(aim.least, float) else ""
    return f"{measure.show(before[0])}, now {now[0] / before[0]:.2f} of it{asked}"
