"""Which Ray cluster works, and how is it joined, or started on this machine, without a word and without telemetry?"""

import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # What happens to a worker is told by us; without this Ray's C++ tells it, too.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
STORE_BYTES = 200_000_000
"""Shared memory of a cluster that is started here, beside the network: pictures and answers do not pass through it."""
PATIENCE_S = 10.0


def import_ray() -> Any:
    """Ray with Ray Data; raises UserError where it is not installed."""
    os.environ.update(QUIET)
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--engine ray needs Ray; install it with pip install 'rapidnet[ray]'") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def join_cluster(config: PredictConfig, network_bytes: int) -> Iterator[Any]:
    """Ray, connected: to what this process is connected to already, to the cluster asked for, or to a new one that ends
    with the block.

    Raises:
        UserError: there is no cluster at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    address = config.ray_address or os.environ.get("RAY_ADDRESS", "") or "local"
    # Ray names its sockets by the whole path, which must be short.
    folder = tempfile.mkdtemp(prefix="rapidnet-ray-") if address == "local" else ""
    try:
        if folder:
            processors = max(count_processors(), config.ray_workers * config.threads)
            with hush():
                ray.init(
                    "local", num_cpus=processors, include_dashboard=False, _temp_dir=folder,
                    object_store_memory=STORE_BYTES + 2 * network_bytes, **quiet,
                )  # fmt: skip
        else:
            check_reachable(address)
            try:
                with hush():
                    ray.init(address, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise refuse_address(address, " ".join(str(error).split())) from None
        yield ray
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def hush() -> Iterator[None]:
    """Standard error of the whole process is dropped: Ray's C++ says there that it was told to be quiet."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def check_reachable(address: str) -> None:
    """Raise UserError at once where nobody listens; Ray itself would wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise refuse_address(address, "it is not HOST:PORT; for Ray Client, run this command on the cluster instead")
    try:
        socket.create_connection((host, int(port)), PATIENCE_S).close()
    except OSError as error:
        raise refuse_address(address, error.strerror or str(error)) from None


def refuse_address(address: str, why: str) -> UserError:
    return UserError(
        f"there is no Ray cluster at {address} ({why.rstrip('.')}); start one with ray start --head, mend "
        "--ray-address or RAY_ADDRESS, or leave both out to start Ray on this machine"
    )


def count_processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
