"""Runs the train command in several processes, as torchrun would start them, without importing torch anew in each."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console

from rapidnet.config import TrainConfig
from rapidnet.errors import UserError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["rapidnet.training.train", "training.processes"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train_as(config: TrainConfig, rank: int, world: int, port: int, before: Callable[[], None] | None) -> None:
    """The body of a process; its exit code is the command's (2 for a user's error)."""
    import torch

    from rapidnet.training.train import run_train

    torch.set_num_threads(1)
    if world > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0",
        }  # fmt: skip
    if before is not None:
        before()
    try:
        code = run_train(config, Console(quiet=True))
    except UserError as error:
        print(error)
        code = 2
    # Skip the interpreter's end: the process group's threads may outlive it.
    os._exit(code)


def start(config: TrainConfig, world: int = 1, before: Callable[[], None] | None = None) -> list[BaseProcess]:
    port = free_port()
    processes = [CONTEXT.Process(target=train_as, args=(config, rank, world, port, before)) for rank in range(world)]
    for process in processes:
        process.start()
    return processes


def finish(processes: list[BaseProcess], timeout: float = 120) -> list[int | None]:
    """Exit codes; when one process fails the others are killed, as torchrun does."""
    until = time.monotonic() + timeout
    while any(process.exitcode is None for process in processes) and time.monotonic() < until:
        if any(process.exitcode not in (None, 0) for process in processes):
            time.sleep(1)
            break
        time.sleep(0.02)
    for process in processes:
        if process.exitcode is None:
            process.kill()
        process.join(10)
    return [process.exitcode for process in processes]


def train(config: TrainConfig, world: int = 1, before: Callable[[], None] | None = None) -> list[int | None]:
    return finish(start(config, world, before))


class KillAfter:
    """Send this process a signal once so many batches are trained; picklable."""

    def __init__(self, batches: int, signum: int = signal.SIGKILL, marker: Path | None = None) -> None:
        self.batches, self.signum, self.marker = batches, signum, marker

    def __call__(self) -> None:
        from rapidnet.training import loop

        original, count = loop.train_batch, 0

        def train_batch(*args: object) -> None:
            nonlocal count
            original(*args)  # type: ignore[arg-type]
            count += 1
            if count == self.batches:
                os.kill(os.getpid(), self.signum)

        loop.train_batch = train_batch  # type: ignore[assignment]
