"""What do the tests of the server run? Small bundles, and a server in a thread on a port of its own."""

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from export.dense_runs import write_run
from export.tiny import capture_tiny
from rapidnet.config import ExportConfig, ServeConfig
from rapidnet.export.bundle import finish_bundle, temporary_bundle
from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import adapt, convert
from rapidnet.export.export import run_export
from rapidnet.runtimes.bundle import CARD_VERSION, Bundle, is_bundle, open_bundle, read_card
from rapidnet.serving.serve import Running, build, open_socket, run

SIDE, MOST = 64, 8
CLASSES = [f"class {number}" for number in range(10)]


def share(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Path]) -> Path:
    """What `make` writes into a folder, once for all processes of a test run."""
    root = factory.getbasetemp()
    root = root.parent if root.name.startswith("popen-") else root
    root = root / "served"
    root.mkdir(exist_ok=True)
    with FileLock(root / f"{name}.lock"):
        done = root / f"{name}.path"
        if not done.exists():
            done.write_text(str(make(root / name)))
        return Path(done.read_text())


def make_classifier(folder: Path) -> Path:
    """A classifier for 1 to MOST pictures of SIDE pixels, with random weights, for ONNX Runtime."""
    captured = capture_tiny(InputSpec(SIDE, SIDE, max_batch=MOST))
    target = folder / "tiny-onnx-fp32"
    view = {"image_size": SIDE, "crop_pct": 0.875, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.25] * 3}
    card: dict[str, Any] = {
        "card_version": CARD_VERSION, "model": "rapidnet_ti", "format": "onnx", "precision": "fp32",
        "artifact": "model.onnx", "task": "classification", "classes": CLASSES, "preprocessing": view,
        "input": {"name": "pixels", "dtype": "uint8", "layout": "NCHW", "max_batch": MOST, "size": SIDE},
        "output": {"name": "probabilities", "shape": ["batch", 10]}, "certificate": {"verdict": "passed"},
        "license": "unspecified", "complexity": {}, "provenance": {"weights": "raw"},
    }  # fmt: skip
    with temporary_bundle(target) as temporary:
        convert("onnx", adapt("onnx", Conversion(captured, "fp32", None)), temporary)
        finish_bundle(temporary, target, card)
    return target


def make_dense(head: str) -> Callable[[Path], Path]:
    """A detector's or segmenter's bundle, of an untrained network, for ONNX Runtime."""

    def make(folder: Path) -> Path:
        options: dict[str, Any] = {"score_threshold": 0.6} if head == "fcos" else {}
        run_folder = write_run(folder / head, head, **options)
        run_export(ExportConfig(str(run_folder), output=str(folder / "exported")))
        (found,) = (path for path in (folder / "exported").iterdir() if is_bundle(path))
        return found

    return make


def encode(size: tuple[int, int] = (90, 60), kind: str = "PNG", seed: int = 0, **options: Any) -> bytes:
    """A picture of soft noise (width, height) as a file's bytes."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass
class Server:
    """A server that runs; `log` is what it has written so far."""

    address: str
    running: Running
    loop: asyncio.AbstractEventLoop
    stream: io.StringIO = field(default_factory=io.StringIO)
    codes: list[int] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.address.rsplit(":", 1)[1])

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=20, **options)

    def post(self, content: bytes, kind: str = "application/octet-stream", **query: Any) -> httpx.Response:
        with self.client() as client:
            return client.post("/v1/predict", content=content, headers={"content-type": kind}, params=query)

    def upload(self, *files: tuple[str, bytes], name: str = "images", **query: Any) -> httpx.Response:
        with self.client() as client:
            return client.post("/v1/predict", files=[(name, file) for file in files], params=query)

    def read_metric(self, line: str) -> float:
        """The value of a line of /metrics that starts so."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return sum(float(found.rsplit(" ", 1)[1]) for found in lines if found.startswith(line))

    def read_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.running.stop.set)


@contextmanager
def serve(
    path: Path, *more: Path, token: str = "", change: Callable[[Bundle], Bundle] = lambda bundle: bundle, **options: Any
) -> Iterator[Server]:
    """A server over a bundle, whose network `change` may exchange; it is drained in the end."""
    config = ServeConfig([str(path), *map(str, more)], port=0, threads=1, **options)
    bundle = change(open_bundle(path, 1))
    stream = io.StringIO()
    running = build(config, bundle, [(one, read_card(one)) for one in (path, *more)], token, stream)
    listener = open_socket("127.0.0.1", 0)
    started, servers, codes = threading.Event(), list[Server](), list[int]()

    async def main() -> int:
        def tell() -> None:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            servers.append(Server(address, running, asyncio.get_running_loop(), stream, codes))
            started.set()

        return await run(running, listener, tell)

    thread = threading.Thread(target=lambda: codes.append(asyncio.run(main())), daemon=True)
    thread.start()
    assert started.wait(30)
    (server,) = servers
    try:
        yield server
    finally:
        if thread.is_alive():
            server.stop()
        thread.join(40)
        assert not thread.is_alive(), "the server does not stop"
