"""What can be asked when latency is measured, here or on a phone, or read from others' reports?"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rapidnet.config.choices import ALONE, check
from rapidnet.config.export import FORMATS
from rapidnet.errors import UserError, nearest

EAGER, BF16, PEERS = "eager", "bf16", "peers"
RUNTIMES = (*FORMATS, EAGER)
Precision = Literal["fp32", "fp16", "int8", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8", "bf16")
ONLY_ONE = "the only one"
"""The Android device that --android alone stands for."""


class Point(NamedTuple):
    """What a network is measured at: images per call, and the size in pixels, 0 for the network's own."""

    batch: int
    size: int


@dataclass
class BenchConfig:
    """Measure latency on this machine so that it can be believed: bundles, runs, or networks by name, in turns."""

    what: list[str]
    """Bundles, run folders, or names of networks (ours or timm's), one after the other."""
    against: str = ""
    """Rivals, separated by commas: as above; NAME@RUNTIME for its own one; peers for all of peers.csv that timm has."""
    runtime: str = "onnx"
    """For runs and names, separated by commas: onnx, openvino, executorch, litert, ncnn, torch; eager (plain torch)."""
    precision: str = "fp32"
    """For runs and names: fp32, fp16, int8, separated by commas; bf16 is fp32 computed in bfloat16 by OpenVINO."""
    threads: str = "1"
    """Threads of the runtime, separated by commas; every number is a measurement of its own."""
    batch: str = "1"
    """Images per call, separated by commas; every number is a measurement of its own."""
    image_size: str = "0"
    """Height and width of the input in pixels, separated by commas, each measured; 0 takes the network's own."""
    mode: Literal["quick", "standard", "sustained"] = "standard"
    """quick is indicative (5 s of each); standard takes 1,024 runs and 60 s of each; sustained ten minutes."""
    image: str = ""
    """A photograph for the split from file to answer; empty takes one that comes with scikit-image."""
    keep: str = ""
    """A folder that receives the bundles made of runs and names, to be measured again; empty throws them away."""
    profile: bool = False
    """Say where the time goes, operator by operator, instead of measuring latency."""
    compute_unit: Literal["", "all", "cpu", "cpu_gpu", "cpu_ne"] = ""
    """For Core ML bundles, on a Mac: where Core ML may compute (ne: Neural Engine); empty leaves it all."""
    android: str = field(default="", metadata={ALONE: ONLY_ONE})
    """Measure on the Android device of this serial number, through adb; alone: on the only one attached."""
    runner: str = ""
    """For --android, the runtime's own benchmark program, built for the device: executor_runner or benchmark_model."""
    pareto: str = ""
    """A picture to draw: accuracy against latency, measured and published; without networks, from --results alone."""
    scaling: str = ""
    """A picture to draw: latency and images/s against batch, image size and threads; without networks likewise."""
    results: str = ""
    """A JSON-lines file to append a row for each network and each comparison to."""
    json: bool = False
    """Print JSON lines instead of tables."""

    def __post_init__(self) -> None:
        drawn = (self.pareto or self.scaling) and self.results
        check(bool(self.what or drawn), "there is nothing to measure; name bundles, runs or networks")
        check(
            not (self.profile and self.against), "profile has no use for against; name all networks one after the other"
        )
        for option in ("pareto", "scaling"):
            drawn = getattr(self, option)
            check(not (self.profile and drawn), f"profile measures no latency to draw; leave out {option}")
        names = split_list(self.against)
        self.rivals, self.against_peers = [name for name in names if name != PEERS], PEERS in names
        self._check_android()
        for rival in self.rivals:
            if "@" in rival:
                parse_names(rival.partition("@")[2], RUNTIMES, "runtime")
        self.runtimes = parse_names(self.runtime, RUNTIMES, "runtime")
        asked = parse_names(self.precision, PRECISIONS, "precision")
        self.precisions = [precision for precision in PRECISIONS if precision in asked]
        self.thread_counts = parse_numbers(self.threads, "threads", "1,2")
        sizes = parse_numbers(self.image_size, "image_size", "128,224", least=0)
        batches = parse_numbers(self.batch, "batch", "1,8")
        self.points = [Point(batch, size) for size in sizes for batch in batches]

    def _check_android(self) -> None:
        check(bool(self.android) or not self.runner, "runner has no effect without --android; leave it out")
        for name in ("profile", "pareto", "scaling", "image", "compute_unit"):
            check(not (self.android and getattr(self, name)), f"android has no use for {name}; leave it out")
        check(not self.android or self.batch == "1", "on a device, runners take one image at a time; leave out batch")


@dataclass
class BenchImportConfig:
    """Read latencies that other programs measured (Xcode, runners on phones, Qualcomm AI Hub) into rows of results."""

    files: list[str]
    """Reports: Xcode's .mlperf, logs of benchmark_model, executor_runner or onnxruntime_perf_test, AI Hub's files."""
    results: str = ""
    """A JSON-lines file to append a row for each result to."""
    json: bool = False
    """Print JSON lines instead of a table."""

    def __post_init__(self) -> None:
        check(bool(self.files), "there is nothing to import; name the reports")


def split_list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def parse_names(text: str, known: tuple[str, ...], option: str) -> list[str]:
    """The names in `text`, each once; raises UserError for an unknown one or none."""
    names = split_list(text)
    for name in names:
        if name not in known:
            raise UserError(f"{option} '{name}' is unknown{nearest(name, list(known))}; give {', '.join(known)}")
    check(bool(names), f"{option} is empty; name at least one of {', '.join(known)}")
    return list(dict.fromkeys(names))


def parse_numbers(text: str, option: str, example: str, least: int = 1) -> list[int]:
    """The whole numbers in `text`, each once; raises UserError for anything below `least`, or for none."""
    kind = "positive number" if least else "number of 0 or more"
    for item in split_list(text):
        check(item.isdecimal() and int(item) >= least, f"{option} '{item}' is no {kind}; give such as {example}")
    numbers = [int(item) for item in split_list(text)]
    check(bool(numbers), f"{option} is empty; give such as {example}")
    return list(dict.fromkeys(numbers))
