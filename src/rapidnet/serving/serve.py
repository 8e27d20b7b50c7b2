"""How does a server start, and how does it stop without losing a request?"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rapidnet.config import ServeConfig
from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import Bundle, open_bundle, read_card

TOKEN = "RAPIDNET_TOKEN"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CLOSE_SECONDS = 5
"""After the last prediction, how long connections may take to close, such as one that loads a bundle."""
TICK = 0.05
CUT = 1
"""The exit code when requests did not finish within the time to drain."""


def run_serve(config: ServeConfig) -> int:
    """The serve command; returns when the server was told to stop: 0 if every request was finished."""
    token = read_token(config.token_file)
    if config.host not in LOOPBACK and not token:
        print(
            f"rapidnet: anybody who reaches {config.host}:{config.port} can use this server; give it a token with "
            "--token-file, or keep it to this machine with --host 127.0.0.1", file=sys.stderr,
        )  # fmt: skip
    return serve(config, token, announce)


def announce(address: str) -> None:
    print(f"rapidnet: serving at {address}; Ctrl-C stops", file=sys.stderr, flush=True)


def serve(config: ServeConfig, token: str, tell: Callable[[str], None], stream: TextIO | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; `tell` gets the address once requests are taken.

    stream: of the log; standard output unless given.

    Raises:
        UserError: a package is missing, a bundle or certificate is broken, the address cannot be had.
    """
    require_packages()
    cards = [(Path(path), read_card(path)) for path in config.bundles]
    bundle = open_bundle(config.bundles[0], config.threads)
    check_tls(config)
    with open_socket(config.host, config.port) as listener:
        allow_files(config.max_connections)
        scheme = "https" if config.tls_certificate else "http"
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"{scheme}://{host}:{listener.getsockname()[1]}"
        running = build(config, bundle, cards, token, stream)
        return asyncio.run(run(running, listener, lambda: tell(address)))


def require_packages() -> None:
    """Raise UserError that names the extra if one of its packages is missing."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"serving needs {error.name}; install it with pip install 'rapidnet[serve]'") from None


def read_token(path: str) -> str:
    """From the file, or else from the environment; raises UserError for a file without one."""
    if not path:
        return os.environ.get(TOKEN, "").strip()
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the token cannot be read from {path} ({error}); give a file with one line of text") from None
    if not token or any(letter.isspace() for letter in token):
        raise UserError(f"{path} holds no token; write one line without spaces into it")
    return token


def check_tls(config: ServeConfig) -> None:
    """Raise UserError unless certificate and key, where given, belong together."""
    if not config.tls_certificate:
        return
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(config.tls_certificate, config.tls_key)
    except OSError as error:
        raise UserError(
            f"{config.tls_certificate} and {config.tls_key} cannot be used for https ({error}); give a certificate "
            "and its own key as PEM files"
        ) from None


def open_socket(host: str, port: int) -> socket.socket:
    """Bound, not yet listening; raises UserError."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named asyncio turns Nagle's algorithm off, which would delay each answer by 40 ms.
        listener = socket.socket(family, kind, protocol)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener:
            listener.close()
        raise UserError(
            f"the server cannot listen on {host}, port {port} ({error.strerror or error}); choose another with --host "
            "and --port"
        ) from None
    return listener


def allow_files(connections: int) -> None:
    """Let the process open as many files as it may have connections, as far as the system allows."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = connections + 256
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


@dataclass(frozen=True)
class Running:
    """Everything that a server is made of, not started yet; `stop` tells it to drain, `hurry` not to wait for that."""

    config: ServeConfig
    service: Any
    guard: Any
    log: Any
    server: Any
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


def build(
    config: ServeConfig, bundle: Bundle, cards: list[tuple[Path, dict[str, Any]]], token: str,
    stream: TextIO | None = None,
) -> Running:  # fmt: skip
    """Put the application together, its log going to `stream` or standard output; raises UserError."""
    import uvicorn

    from rapidnet.serving.app import build_api
    from rapidnet.serving.connections import build_protocol
    from rapidnet.serving.guard import MAX_HEADER_BYTES, Guard
    from rapidnet.serving.logs import Forwarded, JsonLog
    from rapidnet.serving.metrics import Metrics
    from rapidnet.serving.page import Files, list_bundles, list_page
    from rapidnet.serving.service import Service

    files = list_page() | list_bundles(cards)
    metrics, log = Metrics(), JsonLog(stream)
    service = Service(bundle, config, metrics)
    api = build_api(service, bundle.path.resolve().name, bool(token))
    guard = Guard(Files(api, files), metrics, log, service.check_open, token, config.quiet)
    server = uvicorn.Server(
        uvicorn.Config(
            guard, http=build_protocol(config.header_seconds, config.max_connections, guard.count_refusal), ws="none",
            lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES, timeout_graceful_shutdown=CLOSE_SECONDS,
            ssl_certfile=config.tls_certificate or None, ssl_keyfile=config.tls_key or None,
        )
    )  # fmt: skip
    metrics.watch("connections", "Open connections.", lambda: len(server.server_state.connections))
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [Forwarded(log)], False
    # What it has to say of a broken form, the refusal says.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    return Running(config, service, guard, log, server)


async def run(running: Running, listener: socket.socket, tell: Callable[[], None]) -> int:
    """Serve on the socket until told to stop; returns the exit code."""
    service, server, log = running.service, running.server, running.log
    loop, stop = asyncio.get_running_loop(), running.stop

    def on_signal() -> None:
        (running.hurry if stop.is_set() else stop).set()

    with catch_signals(lambda: loop.call_soon_threadsafe(on_signal)):
        warming = service.start()
        # Not its `serve`: that would catch the signals and kill the process with them in the end.
        serving = loop.create_task(server._serve([listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(TICK)
        note(running, "listening", bundle=service.bundle.path.name, pid=os.getpid())
        tell()
        stopping = loop.create_task(stop.wait())
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        cut = await drain(running)
        if cut:
            server.config.timeout_graceful_shutdown = 0
        server.should_exit = True
        await serving
        # What was cut is told so.
        await asyncio.sleep(TICK if cut else 0)
        for task in (warming, stopping):
            task.cancel()
    service.stop(CLOSE_SECONDS)
    note(running, "stopped", unfinished=cut)
    log.close()
    return CUT if cut else 0


def note(running: Running, event: str, **facts: Any) -> None:
    """A line in the log about the server itself."""
    if not running.config.quiet:
        running.log.add(event, **facts)


async def drain(running: Running) -> int:
    """Take no new pictures and wait for those inside; returns how many requests were not finished in time."""
    running.service.draining = True
    note(running, "draining", requests=running.guard.predicting)
    loop = asyncio.get_running_loop()
    end = loop.time() + running.config.drain_seconds
    while running.guard.predicting and loop.time() < end and not running.hurry.is_set():
        await asyncio.sleep(TICK)
    return int(running.guard.predicting)


@contextlib.contextmanager
def catch_signals(act: Callable[[], Any]) -> Iterator[None]:
    """Call `act` at SIGTERM and Ctrl-C instead of dying; in other threads than the main one nothing is caught."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.signal(number, lambda *_: act()) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
