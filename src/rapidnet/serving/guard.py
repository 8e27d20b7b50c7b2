"""What surrounds every request? Its number, the token, the headers, a line in the log; no exception escapes."""

import asyncio
import hashlib
import hmac
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rapidnet.errors import UserError
from rapidnet.serving.logs import JsonLog
from rapidnet.serving.metrics import Metrics
from rapidnet.serving.refusals import RefusedError
from rapidnet.serving.uploads import find_header

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GUARDED = ("/v1/", "/bundles/", "/metrics")
"""What needs the token, where there is one: answers, networks, and what tells about the load."""
PREDICT = "/v1/predict"
MAX_HEADER_BYTES = 32_768
FACTS = "rapidnet.facts"
"""In a request's scope: what its line in the log is to say beside the usual."""
REQUEST_ID = "rapidnet.request_id"
ROUTE = "rapidnet.route"
FAILED = "the server failed; its log says why"
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""Of every response: with the last three a page may use threads (it is cross-origin isolated)."""


class Guard:
    """The outermost ASGI application.

    check: raises RefusedError while no pictures are taken; token: what requests must carry, empty for nothing.
    """

    def __init__(
        self, app: App, metrics: Metrics, log: JsonLog, check: Callable[[], None], token: str = "", quiet: bool = False
    ) -> None:
        self.app, self.metrics, self.log, self.check, self.quiet = app, metrics, log, check, quiet
        self.token = digest(token.encode()) if token else b""
        self.prefix, self.numbers = secrets.token_hex(4), itertools.count(1)
        self.predicting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request_id = scope[REQUEST_ID] = f"{self.prefix}-{next(self.numbers)}"
        facts: dict[str, Any] = {}
        scope[FACTS] = facts
        status, length = 0, 0

        async def send_on(message: Message) -> None:
            nonlocal status, length
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS, (b"x-request-id", request_id.encode())]
            else:
                length += len(message.get("body", b""))
            await send(message)

        predicting = scope["path"] == PREDICT
        self.predicting += predicting
        try:
            self._admit(scope, predicting)
            await self.app(scope, receive, send_on)
        except RefusedError as refusal:
            await send_refusal(scope, send_on, refusal)
        except asyncio.CancelledError:
            # The server stops, and this took longer than it waits; nobody is left who would want the cancellation.
            if not status:
                await send_refusal(scope, send_on, RefusedError("draining", "the server shut down before it answered"))
        except Exception as error:
            self.metrics.errors.inc()
            self.log.add_failure(request_id, error)
            if not status:
                await send_refusal(scope, send_on, RefusedError("internal_error", FAILED))
        finally:
            self.predicting -= predicting
            seconds = time.perf_counter() - started
            route = str(scope.get(ROUTE) or getattr(scope.get("route"), "path", "unmatched"))
            self.metrics.count_request(route, scope["method"], status, seconds)
            if "refused" in facts:
                self.metrics.refused.labels(facts["refused"]).inc()
            if not self.quiet or status >= 400 or not status:
                self.log.add(
                    "request", id=request_id, method=scope["method"][:16], route=route, status=status,
                    ms=round(1e3 * seconds, 2), bytes_out=length, **facts,
                )  # fmt: skip

    def count_refusal(self, code: str) -> None:
        """Count a request that was refused before it was one, such as bytes that are no HTTP."""
        self.metrics.refused.labels(code).inc()

    def _admit(self, scope: Scope, predicting: bool) -> None:
        """Raise RefusedError for too large a head, no token, or pictures while none are taken."""
        # A head that comes in one piece is not held against the web server's bound.
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise too_many_headers()
        if self.token and scope["path"].startswith(GUARDED):
            kind, _, given = find_header(scope["headers"], b"authorization").partition(b" ")
            # Digests are compared: neither the time nor the length of the answer tells of the token.
            right = hmac.compare_digest(digest(given.strip()), self.token)
            if kind.lower() != b"bearer" or not right:
                raise RefusedError(
                    "unauthorized", "send the token as Authorization: Bearer TOKEN", field="authorization"
                )
        if predicting:
            self.check()


def too_many_headers() -> RefusedError:
    return RefusedError("headers_too_large", f"the headers are larger than {MAX_HEADER_BYTES} bytes")


def digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


async def send_refusal(scope: Scope, send: Send, refusal: RefusedError) -> None:
    """Answer with the error's JSON, and note it for the log."""
    note_refusal(scope, refusal)
    body = refusal.body(scope[REQUEST_ID])
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers + refusal.headers()})
    await send({"type": "http.response.body", "body": body})


def note_refusal(scope: Scope, refusal: RefusedError) -> None:
    """For the log: the code, and an exception that was taken for the client's fault, so that it cannot hide ours."""
    scope[FACTS]["refused"] = refusal.code
    if refusal.__cause__ is not None and not isinstance(refusal.__cause__, UserError):
        scope[FACTS]["cause"] = type(refusal.__cause__).__name__
