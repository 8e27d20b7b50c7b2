"""Does the command start with one sentence or an address, drain at SIGTERM, and need no torch?"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from servers import Server, encode, make_classifier, serve, share

from rapidnet import cli
from rapidnet.config import ServeConfig
from rapidnet.errors import UserError
from rapidnet.serving import serve as module
from rapidnet.serving.logs import MOST_WAITING, JsonLog

posix = pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM and /proc")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(tmp_path_factory, "classifier", make_classifier)


SLOW = """
import sys, time
sys.argv = ["rapidnet"]
import rapidnet.runtimes.bundle as bundle
plain = bundle.Bundle.run
def run(self, pixels):
    if pixels.any():
        time.sleep({seconds})
    return plain(self, pixels)
bundle.Bundle.run = run
from rapidnet.cli import main
code = main({arguments})
print("torch" in sys.modules, "torchvision" in sys.modules, file=sys.stderr)
sys.exit(code)
"""


@contextmanager
def start(bundle: Path, *options: str, seconds: float = 0.0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, with a network that takes so long; and its address."""
    arguments = ["serve", str(bundle), "--port", "0", "--threads", "1", *options]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(seconds=seconds, arguments=arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    try:
        found = re.search(r"serving at (\S+);", process.stderr.readline())
        assert found
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


def post(address: str, found: list[httpx.Response]) -> None:
    kind = {"content-type": "image/png"}
    found.append(httpx.post(f"{address}/v1/predict", content=encode(), headers=kind, timeout=20))


@posix
def test_sigterm_finishes_what_has_begun_and_nothing_new(classifier: Path) -> None:
    with start(classifier, seconds=0.4) as (process, address):
        while httpx.get(f"{address}/readyz").status_code != 200:
            time.sleep(0.05)
        found: list[httpx.Response] = []
        threads = [threading.Thread(target=post, args=(address, found)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        late: list[httpx.Response] = []
        post(address, late)
        ready = httpx.get(f"{address}/readyz")
        for response in (*late, ready):
            assert response.status_code == 503 and response.json()["error"]["code"] == "draining"
            assert response.headers["retry-after"]
        assert httpx.get(f"{address}/healthz").status_code == 200
        for thread in threads:
            thread.join()
        assert [response.status_code for response in found] == [200] * 3
        out, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
    events = [json.loads(line) for line in out.splitlines()]
    assert [row["event"] for row in events if row["event"] != "request"] == ["listening", "draining", "stopped"]
    assert events[-1]["unfinished"] == 0
    assert error.strip() == "False False", "the server imported torch"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")


@posix
def test_what_takes_too_long_to_drain_is_cut_and_told(classifier: Path) -> None:
    with start(classifier, "--drain-seconds", "0.2", seconds=1.5) as (process, address):
        while httpx.get(f"{address}/readyz").status_code != 200:
            time.sleep(0.05)
        found: list[httpx.Response] = []
        thread = threading.Thread(target=post, args=(address, found))
        thread.start()
        time.sleep(0.2)
        started = time.time()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        out, _ = process.communicate(timeout=20)
        thread.join()
        assert process.returncode == module.CUT and time.time() - started < 4
        assert found[0].status_code == 503 and found[0].json()["error"]["code"] == "draining"
    assert json.loads(out.splitlines()[-1])["unfinished"] == 1


def refuse(capsys: pytest.CaptureFixture, *arguments: str | Path) -> str:
    assert cli.main(["serve", *map(str, arguments)]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("rapidnet: the ") or line)
    return str(line)


def test_what_is_wrong_at_the_start_is_one_sentence(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1, port {port}" in refuse(capsys, classifier, "--port", str(port))
    assert "is not a bundle" in refuse(capsys, tmp_path)
    assert "there is nothing to serve" in refuse(capsys)
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in classifier.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "model.onnx").write_bytes(b"no network")
    assert "is not the file that was certified" in refuse(capsys, broken)
    (tmp_path / "empty").touch()
    assert "holds no token" in refuse(capsys, classifier, "--token-file", tmp_path / "empty")
    assert "token cannot be read" in refuse(capsys, classifier, "--token-file", tmp_path / "absent")
    pem = ["--tls-certificate", __file__, "--tls-key", __file__]
    assert "cannot be used for https" in refuse(capsys, classifier, *pem)
    assert "go together" in refuse(capsys, classifier, "--tls-key", "k")
    for option, value, said in (
        ("--port", "70000", "port is 70000"), ("--max-queue", "4", "max_images is 16"), ("--readers", "0", "readers"),
        ("--max-body-mb", "300", "max_body_mb"), ("--drain-seconds", "-1", "drain_seconds"),
    ):  # fmt: skip
        assert said in refuse(capsys, classifier, option, value)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'rapidnet[serve]'" in refuse(capsys, classifier)


def test_an_open_server_without_a_token_warns(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "serve", lambda config, token, tell: 0)
    assert module.run_serve(ServeConfig([str(classifier)], host="0.0.0.0")) == 0
    assert capsys.readouterr().err.count("anybody who reaches 0.0.0.0:8000") == 1
    assert module.run_serve(ServeConfig([str(classifier)])) == 0
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setattr(module, "serve", lambda config, token, tell: 0 if token == "secret" else 1)
    assert module.run_serve(ServeConfig([str(classifier)], host="0.0.0.0", token_file=str(tmp_path / "token"))) == 0
    monkeypatch.setenv(module.TOKEN, "secret")
    assert module.run_serve(ServeConfig([str(classifier)], host="0.0.0.0")) == 0
    assert capsys.readouterr().err == ""


def test_two_bundles_of_one_name_are_refused(classifier: Path, tmp_path: Path) -> None:
    other = tmp_path / classifier.name
    other.mkdir()
    for path in classifier.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=f"two bundles are called {classifier.name}"), serve(classifier, other):
        pass


def test_quiet_logs_only_what_went_wrong(classifier: Path) -> None:
    with serve(classifier, quiet=True) as server:
        assert server.post(encode()).status_code == 200
        assert server.post(b"nothing").status_code == 415
    assert [row["status"] for row in server.read_log() if row["event"] == "request"] == [415]


def test_a_log_that_nobody_reads_stops_no_answer(classifier: Path) -> None:
    class Full:
        """A pipe that is full until `free`."""

        def __init__(self) -> None:
            self.free, self.written = threading.Event(), ""

        def write(self, text: str) -> None:
            self.free.wait(20)
            self.written += text

        def flush(self) -> None:
            pass

    def ask(server: Server) -> None:
        assert server.post(encode()).status_code == 200

    full = Full()
    with serve(classifier) as server:
        server.running.log.stream = full
        ask(server)
        for _ in range(MOST_WAITING + 10):
            server.running.log.add("noise")
        ask(server)
        full.free.set()
    assert "log lines dropped" in full.written
    with open(os.devnull) as closed:
        pass
    log = JsonLog(closed)
    log.add("lost")
    log.close()
    assert not log.thread.is_alive()
