"""What may a client's connection do before and after its request? Slow, silent and countless ones are closed."""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from rapidnet.serving.guard import HEADERS, too_many_headers
from rapidnet.serving.refusals import RefusedError

MAX_DISCARDED = 32_000_000
"""Bytes that a client may go on sending after its request was refused."""
WRITE_SECONDS = 30.0
"""How long a client may not take what is sent to it."""
GONE = "rapidnet.gone"
"""In a request's scope: what is called when its client goes away."""


class Connection(H11Protocol):
    """Uvicorn's HTTP/1.1 with bounds on waiting for the client; `build_protocol` sets them.

    header_seconds: for a request's head, and for the rest of a body that nobody wants. most: connections at a time.
    refused: told the code of a request that was no HTTP.
    """

    header_seconds = 10.0
    most = 1024
    refused: Callable[[str], None] = staticmethod(lambda code: None)
    # Those of this server that wait for their client, the longest first.
    waiting: dict["Connection", None]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.deadline: asyncio.TimerHandle | None = None
        self.write_deadline: asyncio.TimerHandle | None = None
        self.discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = Corked(transport, self.loop)  # type: ignore[assignment]
        if len(self.connections) > self.most:
            # Whoever has sent nothing for longest makes room; where all are being answered, the new one goes.
            victim = next(iter(self.waiting), self)
            victim.transport.abort()
            # It is told later; several may come before that.
            victim._settle()
            self.connections.discard(victim)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY:
            # The rest of a body that was refused; cut at once, many a client would not read why.
            self.discarded += len(data)
            if self.discarded > MAX_DISCARDED:
                self.transport.abort()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        scope: dict[str, Any] = dict(self.scope) if self.cycle and not self.cycle.response_complete else {}
        gone = scope.get(GONE)
        super().connection_lost(exc)
        self._settle()
        if self.write_deadline:
            self.write_deadline.cancel()
        if gone:
            gone()

    def _watch(self) -> None:
        """Start the clock while the client is to send something that no request's own time limit covers."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self.transport.is_closing():
            self._settle()
        elif self.deadline is None:
            self.deadline = self.loop.call_later(self.header_seconds, self.transport.abort)
            self.waiting[self] = None

    def _settle(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
        self.waiting.pop(self, None)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_deadline = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.write_deadline:
            self.write_deadline.cancel()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # Closing waits for the client to take the rest.
        self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it, in the shape of every other error."""
        error = sys.exception()
        large = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        refusal = RefusedError("bad_http", "the request is no valid HTTP/1.1") if not large else too_many_headers()
        self.refused(refusal.code)
        body = json.dumps(json.loads(refusal.body("none"))).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
                   (b"connection", b"close"), *HEADERS]  # fmt: skip
        try:
            events = [
                h11.Response(status_code=refusal.status, headers=headers, reason=STATUS_PHRASES[refusal.status]),
                h11.Data(data=body), h11.EndOfMessage(),
            ]  # fmt: skip
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            # The answer to this request has begun already.
            self.transport.abort()
            return
        self.transport.close()


class Corked:
    """A transport that sends what is written within one turn of the event loop at once: head and body together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport, self.loop = transport, loop
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if data and not self.parts:
            self.loop.call_soon(self.flush)
        if data:
            self.parts.append(data)

    def flush(self) -> None:
        if self.parts:
            self.transport.write(b"".join(self.parts))
            self.parts.clear()

    def close(self) -> None:
        self.flush()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def build_protocol(header_seconds: float, most: int, refused: Callable[[str], None]) -> type[Connection]:
    """The class for one server."""
    bounds = {"header_seconds": header_seconds, "most": most, "refused": staticmethod(refused), "waiting": {}}
    return type("BoundedConnection", (Connection,), bounds)
