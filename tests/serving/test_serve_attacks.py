"""Does the server hold against slow, silent, broken and countless clients, and requests made from its schema?"""

import contextlib
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import unsupported_method
from servers import Server, encode, make_classifier, make_dense, serve, share

from rapidnet.runtimes.bundle import Bundle
from rapidnet.serving import connections as module
from rapidnet.serving import page

HELD = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_schema_conformance, checks.response_headers_conformance, checks.negative_data_rejection,
    checks.allow_header_conformance, unsupported_method,
]  # fmt: skip


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(tmp_path_factory, "classifier", make_classifier)


@pytest.fixture(scope="module")
def server(classifier: Path) -> Iterator[Server]:
    with serve(classifier, header_seconds=0.5, timeout_seconds=0.6) as server:
        yield server


def explore(server: Server, examples: int) -> dict[str, set[int]]:
    """Requests made from the server's own schema, right and wrong ones; the statuses by operation."""
    seen: dict[str, set[int]] = {}
    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        modes = list(GenerationMode) if operation.label == "POST /v1/predict" else [GenerationMode.POSITIVE]
        for mode in modes:

            @settings(
                max_examples=examples, deadline=None, database=None, phases=[Phase.generate], derandomize=True,
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: schemathesis.Case) -> None:
                response = case.call()
                seen.setdefault(case.operation.label, set()).add(response.status_code)
                case.validate_response(response, checks=HELD)

            ask()
    return seen


@pytest.mark.parametrize("name", ["classifier", "fcos", "semantic_fpn"])
def test_requests_made_from_the_schema(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    make = make_classifier if name == "classifier" else make_dense(name)
    with serve(share(tmp_path_factory, name, make)) as server:
        seen = explore(server, 15)
        assert len(seen) == 5 and 200 in seen["POST /v1/predict"] and len(seen["POST /v1/predict"]) >= 3
        assert not any(row["event"] == "failure" for row in server.read_log())


def fail(bundle: Bundle) -> Bundle:
    warm_up = iter(range(2))

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        if next(warm_up, None) is None:
            raise RuntimeError("planted")
        return bundle.network.run(images)

    return replace(bundle, network=replace(bundle.network, run=run))


def double(bundle: Bundle) -> Bundle:
    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        return {name: value + 2 for name, value in bundle.network.run(images).items()}

    return replace(bundle, network=replace(bundle.network, run=run))


@pytest.mark.parametrize(("change", "said"), [(fail, "Server error"), (double, "violates schema")])
def test_a_planted_bug_is_found(change: Callable[[Bundle], Bundle], said: str, classifier: Path) -> None:
    with serve(classifier, change=change) as server, pytest.raises(BaseException) as error:
        explore(server, 15)
    text = repr(error.value) + str(getattr(error.value, "exceptions", "")) + str(error.value)
    assert said in text, text


def connect(server: Server, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    connection.sendall(data)
    return connection


def receive(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    with connection, contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            found += piece
    return found


LARGE = 12_000_000
HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"


def read_error(answer: bytes) -> dict[str, Any]:
    """The JSON error of a raw answer, whose head names its type and length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head.lower() and b"x-content-type-options: nosniff" in head.lower(), answer
    error: dict[str, Any] = json.loads(body)["error"]
    assert f"HTTP/1.1 {error['status']} ".encode() in head
    return error


def test_slow_clients_are_cut_while_others_are_served(server: Server) -> None:
    silent = [connect(server) for _ in range(10)]
    begun = [connect(server, HEAD) for _ in range(10)]
    bodies = [connect(server, HEAD + b"content-length: 1000\r\n\r\nx") for _ in range(10)]
    unread = connect(server, b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
    idle = connect(server, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
    started = time.perf_counter()
    while time.perf_counter() - started < 0.9:
        assert server.post(encode()).status_code == 200
        # A byte now and then does not help.
        for connection in begun:
            try:
                connection.sendall(b"x")
            except ConnectionError:
                break
        time.sleep(0.05)
    assert [receive(connection) for connection in silent + begun] == [b""] * 20
    for connection in bodies:
        assert read_error(receive(connection))["code"] == "upload_timed_out"
    assert receive(unread).startswith(b"HTTP/1.1 200") and receive(idle).startswith(b"HTTP/1.1 200")
    assert time.perf_counter() - started < 3
    assert server.running.service.inside == server.running.service.budget.held == 0


def test_countless_connections_make_room_for_new_ones(classifier: Path) -> None:
    with serve(classifier, max_connections=8) as server:
        silent = [connect(server) for _ in range(30)]
        for _ in range(3):
            assert server.post(encode()).status_code == 200
        assert server.read_metric("rapidnet_connections") <= 8
        # Those that wait longest went.
        assert receive(silent[0]) == b""
        silent[-1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            silent[-1].recv(1)
        for connection in silent:
            connection.close()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"a" * 40_000 + b"\r\n\r\n", "headers_too_large"),
        (b"GET /" + b"a" * 70_000, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 9000, "headers_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad_http"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_http"),
        (b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", "bad_http"),
        (b"GET / HTTP/1.1\r\nhost: x\r\na b: c\r\n\r\n", "bad_http"),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", "bad_http"),
        (HEAD + b"content-length: -5\r\n\r\nhello", "bad_http"),
        (HEAD + b"transfer-encoding: gzip\r\n\r\nhello", "bad_http"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\nhello", "bad_http"),
    ],
)  # fmt: skip
def test_what_is_no_http_is_one_error_too(request_: bytes, code: str, server: Server) -> None:
    error = read_error(receive(connect(server, request_)))
    assert error["code"] == code and set(error) == {"status", "code", "message", "request_id"}
    assert server.post(encode()).status_code == 200


def test_a_body_too_large_is_not_even_asked_for(server: Server) -> None:
    connection = connect(server, HEAD + b"expect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
    answer = receive(connection)
    assert answer.startswith(b"HTTP/1.1 413") and b"100 Continue" not in answer
    taken = connect(server, HEAD + b"expect: 100-continue\r\nconnection: close\r\ncontent-length: 5\r\n\r\n")
    assert taken.recv(100).startswith(b"HTTP/1.1 100 Continue")
    taken.sendall(b"hello")
    assert b"HTTP/1.1 415" in receive(taken)


def test_requests_one_behind_the_other_are_answered_in_order(server: Server) -> None:
    picture = encode()
    request = HEAD + b"content-length: %d\r\n\r\n" % len(picture) + picture
    last = b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = receive(connect(server, request * 3 + last))
    assert answer.count(b"HTTP/1.1 200 OK") == 3 and answer.count(b"HTTP/1.1 404") == 1
    assert answer.rindex(b"HTTP/1.1 200") < answer.index(b"HTTP/1.1 404")


def test_who_does_not_take_the_answer_is_cut(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("page")
    with (tmp_path / "large.wasm").open("wb") as file:
        file.truncate(LARGE)
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.3)
    monkeypatch.setattr(page.list_page, "__defaults__", (tmp_path,))
    with serve(classifier) as server:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(b"GET /large.wasm HTTP/1.1\r\nhost: x\r\n\r\n")
        state, deadline = server.running.server.server_state, time.time() + 5
        for there in (True, False):
            while bool(state.connections) is not there and time.time() < deadline:
                time.sleep(0.01)
        assert time.time() < deadline, "the connection stays"
        assert len(receive(connection)) < LARGE
        with server.client() as client:
            assert len(client.get("/large.wasm").content) == LARGE


def test_files_with_random_damage(server: Server) -> None:
    rng = random.Random(0)
    whole = [encode(kind=kind, size=(40, 30)) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF")]
    statuses = set()
    with server.client() as client:
        for _ in range(150):
            data = bytearray(rng.choice(whole))
            for _ in range(rng.choice((1, 3, 9))):
                data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
            content = bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
            response = client.post("/v1/predict", content=content, headers={"content-type": "image/png"})
            statuses.add(response.status_code)
    assert 200 in statuses and len(statuses) > 2 and statuses <= {200, 400, 413, 415, 422}
    assert not any(row["event"] == "failure" for row in server.read_log())
