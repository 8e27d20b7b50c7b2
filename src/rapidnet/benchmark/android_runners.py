"""Which programs run a network on an Android device, how are they called, and do they fit the device?"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rapidnet.benchmark.runner_logs import Reading, read_executorch, read_litert
from rapidnet.errors import UserError

# ELF's e_machine -> the ABI as Android calls it.
ABIS = {0xB7: "arm64-v8a", 0x28: "armeabi-v7a", 0x3E: "x86_64", 0x03: "x86", 0xF3: "riscv64"}


@dataclass(frozen=True)
class RunnerKind:
    """A runtime's own benchmark program.

    source: where a user gets it; arguments: (file, runs, warm-up runs, threads) -> its arguments; read: what it
    printed. warms: whether it warms up by itself, so that warm-up runs are not among those it reports.
    inputs: what it feeds the network.
    """

    program: str
    source: str
    arguments: Callable[[str, int, int, int], str]
    read: Callable[[str], list[Reading]]
    warms: bool
    inputs: str


def call_executor_runner(file: str, runs: int, warm: int, threads: int) -> str:
    return f"--model_path={file} --num_executions={runs + warm} --cpu_threads={threads}"


def call_benchmark_model(file: str, runs: int, warm: int, threads: int) -> str:
    return (
        f"--graph={file} --num_threads={threads} --use_xnnpack=true --num_runs={runs} --min_secs=0 --max_secs=1800 "
        f"--warmup_runs={warm} --warmup_min_secs=0"
    )


RUNNERS = {
    "executorch": RunnerKind(
        "executor_runner",
        "build it from ExecuTorch's sources for the device's ABI with the NDK, XNNPACK, logging and the posix platform "
        "layer, as docs/benchmark.md shows",
        call_executor_runner, read_executorch, warms=False, inputs="ones",
    ),
    "litert": RunnerKind(
        "benchmark_model",
        "take LiteRT's native benchmark binary for the device's ABI (its documentation, 'Benchmark Interpreter API', "
        "links nightly ones), or build tflite/tools/benchmark:benchmark_model with bazel",
        call_benchmark_model, read_litert, warms=True, inputs="random",
    ),
}  # fmt: skip


def check_runner(path: str, runtime: str) -> Path:
    """The program that the user named.

    Raises:
        UserError: none was named, it is not there, or it is no program for Linux or Android.
    """
    kind = RUNNERS[runtime]
    if not path:
        raise UserError(
            f"--android needs {kind.program}, which is not part of rapidnet: {kind.source}; then give --runner"
        )
    if not Path(path).is_file():
        raise UserError(f"--runner {path} is not there; it must be {kind.program}: {kind.source}")
    if read_abi(Path(path)) is None:
        raise UserError(
            f"--runner {path} is no program for Android (no ELF file); it must be {kind.program}: {kind.source}"
        )
    return Path(path)


def check_fit(runner: Path, abis: str) -> None:
    """Raises UserError if the program is for other processors than the device's (its ABIs, separated by commas)."""
    built_for = read_abi(runner)
    # Names of ABIs are all that this may compare; a device that tells none gets the benefit of the doubt.
    if built_for in ABIS.values() and set(abis.split(",")) & set(ABIS.values()) and built_for not in abis.split(","):
        raise UserError(f"--runner {runner} is built for {built_for}, the device runs {abis}; build it for that")


def read_abi(path: Path) -> str | None:
    """Android's name of what an ELF file is built for, "unknown" for other processors; None if it is no ELF file."""
    with path.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    (machine,) = struct.unpack_from("<H", head, 18)
    return ABIS.get(machine, "unknown")
