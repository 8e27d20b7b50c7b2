"""Which Ray cluster works, and how is it joined, or started on this machine, without a word and without telemetry?"""

import logging
import os
import secrets
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
LOCKS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""What the environment may say of a cluster's token; who says anything of it is not overruled."""
STORE_BYTES = 200_000_000
"""Shared memory of a cluster that is started here, beside the network: pictures and answers do not pass through it."""
PATIENCE_S = 10.0
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0" + b"\0\0\0\0"
"""What begins every HTTP/2 connection, gRPC's as well: the preface and a SETTINGS frame without settings (RFC 9113)."""


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
    # Ray names its sockets by the whole path, which must be short; its own default is below /tmp, too.
    short = "/tmp" if os.path.isdir("/tmp") else None
    folder = tempfile.mkdtemp(prefix="rapidnet-ray-", dir=short) if address == "local" else ""
    try:
        if folder:
            lock()
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
                raise refuse_address(address, explain(error)) from None
        yield ray
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def lock() -> None:
    """Give a cluster that is started here a token of its own, which is never written down.

    Ray listens to the network and would otherwise make one in the user's home, and keep it.
    """
    if not any(os.environ.get(name) for name in LOCKS):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


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
    """Raise UserError at once where nobody listens, or somebody else; Ray itself would wait, perhaps for ever."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise refuse_address(address, "it is not HOST:PORT; for Ray Client, run this command on the cluster instead")
    try:
        with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(4)
    except OSError as error:
        raise refuse_address(address, error.strerror or str(error)) from None
    # Its own SETTINGS are the first frame of a server; one that wants TLS is left to Ray.
    if answer[3:] != b"\x04" and not os.environ.get("RAY_USE_TLS"):
        raise refuse_address(address, "what listens there is no Ray")


def explain(error: BaseException) -> str:
    """Why Ray could not be joined; a missing token stands in what lies below."""
    below: BaseException | None = error
    while below is not None:
        if "AuthToken" in str(below):
            return "it wants its token, which RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH give"
        below = below.__cause__ or below.__context__
    return " ".join(str(error).split())


def refuse_address(address: str, why: str) -> UserError:
    return UserError(
        f"there is no Ray cluster at {address} ({why.rstrip('.')}); start one with ray start --head, mend "
        "--ray-address or RAY_ADDRESS, or leave both out to start Ray on this machine"
    )


def count_processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
