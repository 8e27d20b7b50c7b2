"""How many pictures a second does the server answer, how late is the latest, and what does it add to the network?

    python scripts/serving_load.py BUNDLE --results results/serving.jsonl
    python scripts/serving_load.py BUNDLE --requests 100000 --results results/serving.jsonl

The first command loads two servers on this machine's loopback in turns, with batching and without, at 1 to 256 requests
at a time; before and after each server a process of its own runs the network alone, at its best batch size, and then
decode, prepare and network one after the other. All have the same number of threads of the runtime. The ratio that
docs/serving.md speaks of is to the network alone. The second sends so many requests and watches the server's memory.
Both end by themselves after --limit-seconds.
"""

import argparse
import asyncio
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from rapidnet.environment import append_rows
from rapidnet.runtimes.bundle import Bundle, open_bundle, read_card

CONCURRENCY = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BATCHES = (1, 2, 4, 8, 16, 32)
SOAK_CONCURRENCY = 32
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
OUT_OF_TIME = "stopped by --limit-seconds"


def draw_picture(size: int) -> bytes:
    """A JPEG of soft noise, as detailed as a photograph, of size x size pixels."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (max(2, size // 8), max(2, size // 8), 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize((size, size), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


# The runtime's own throughput, in a process of its own.


def run_alone(bundle: Bundle, pixels: np.ndarray, batch: int, seconds: float) -> float:
    """Pictures a second of the network alone, `batch` at a time."""
    batched = np.repeat(pixels[None], batch, 0)
    bundle.run(batched)
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        bundle.run(batched)
        count += batch
    return count / elapsed


def run_pipeline(bundle: Bundle, data: bytes, batch: int, seconds: float) -> float:
    """Pictures a second of decode, prepare and network, one after the other in one thread."""
    from rapidnet.serving.answers import build_answerer
    from rapidnet.serving.pictures import Upload

    answerer, upload = build_answerer(bundle, 25_000_000), Upload("own", data)
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        prepared = [answerer.prepare(upload) for _ in range(batch)]
        for computed, one in zip(answerer.compute(np.stack([p.pixels for p in prepared])), prepared, strict=True):
            answerer.describe(computed, one, 1)
        count += batch
    return count / elapsed


def answer_alone(path: str, threads: int, size: int) -> None:
    """The worker: for each line of seconds on standard input, measure and print one line of JSON."""
    from rapidnet.serving.answers import build_answerer
    from rapidnet.serving.pictures import Upload

    bundle, data = open_bundle(path, threads), draw_picture(size)
    pixels = build_answerer(bundle, 25_000_000).prepare(Upload("own", data)).pixels
    most = bundle.network.batch or bundle.card["input"]["max_batch"]
    batches = [batch for batch in BATCHES if batch <= most] or [most]
    best = 0
    for line in sys.stdin:
        seconds = float(line)
        if not best:
            rates = {batch: run_alone(bundle, pixels, batch, seconds / 2) for batch in batches}
            best = max(rates, key=lambda batch: rates[batch])
        network, whole = run_alone(bundle, pixels, best, seconds), run_pipeline(bundle, data, best, seconds)
        print(json.dumps({"batch": best, "network": network, "pipeline": whole}), flush=True)


@contextmanager
def open_worker(options: argparse.Namespace, size: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, __file__, options.bundle, "--alone", str(size), "--threads", str(options.threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask_worker(worker: subprocess.Popen[str], seconds: float) -> dict[str, float]:
    assert worker.stdin and worker.stdout
    worker.stdin.write(f"{seconds}\n")
    worker.stdin.flush()
    found: dict[str, float] = json.loads(worker.stdout.readline())
    return found


# The servers.


@dataclass(frozen=True)
class Served:
    """A server in a process of its own; most: of its batches."""

    process: subprocess.Popen[str]
    port: int
    most: int

    def read_memory(self) -> float:
        """Resident, in megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found[1]) / 1024 if found else 0.0


@contextmanager
def open_server(options: argparse.Namespace, most: int) -> Iterator[Served]:
    command = [
        sys.executable, "-m", "rapidnet", "serve", options.bundle, "--port", "0", "--threads", str(options.threads),
        "--max-batch", str(most), "--quiet",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )  # fmt: skip
    assert process.stderr
    said = process.stderr.readline()
    found = re.search(r"http://[^:]+:(\d+)", said)
    if not found:
        raise SystemExit(f"the server did not start: {said}{process.stderr.read()}")
    try:
        yield Served(process, int(found[1]), most)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


# The client: raw sockets, since it shares the processors with the server.


@dataclass
class Tally:
    """What came back. latencies: seconds of each request; left: requests still to be sent, without end if negative."""

    request: bytes
    left: int = -1
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stopped: bool = False
    open: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Client(asyncio.Protocol):
    """One connection that sends the request again as soon as it is answered."""

    def __init__(self, tally: Tally) -> None:
        self.tally, self.buffer, self.started = tally, b"", 0.0
        tally.open += 1

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if self.tally.stopped or self.tally.left == 0:
            self.transport.close()
            return
        self.tally.left -= 1
        self.started = time.perf_counter()
        self.transport.write(self.tally.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        place = self.buffer.find(b"content-length: ")
        length = int(self.buffer[place + 16 : self.buffer.index(b"\r\n", place)])
        if len(self.buffer) < head + 4 + length:
            return
        if self.buffer.startswith(b"HTTP/1.1 200"):
            self.tally.latencies.append(time.perf_counter() - self.started)
        else:
            self.tally.errors.append(self.buffer[:200].decode("latin-1"))
        self.started, self.buffer = 0.0, b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.started:
            self.tally.errors.append(f"the connection was lost: {exc}")
        self.tally.open -= 1
        if not self.tally.open:
            self.tally.done.set()


def build_request(data: bytes) -> bytes:
    head = f"POST /v1/predict HTTP/1.1\r\nhost: load\r\ncontent-type: image/jpeg\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def load(port: int, tally: Tally, concurrency: int, seconds: float) -> float:
    """Keep so many requests on their way for so long or until none is left; returns the seconds it took."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(concurrency):
        await loop.create_connection(lambda: Client(tally), "127.0.0.1", port)
    with suppress(TimeoutError):
        await asyncio.wait_for(tally.done.wait(), seconds)
    elapsed = time.perf_counter() - started
    tally.stopped = True
    if tally.open:
        await asyncio.wait_for(tally.done.wait(), 60)
    return elapsed


def measure(served: Served, request: bytes, concurrency: int, seconds: float) -> dict[str, Any]:
    """One block of load."""

    async def main() -> tuple[Tally, float, int]:
        await load(served.port, Tally(request), concurrency, min(1.0, seconds / 4))
        tally = Tally(request)
        # What is answered after the clock stopped does not count.
        task = asyncio.create_task(load(served.port, tally, concurrency, seconds))
        await asyncio.sleep(seconds)
        count = len(tally.latencies)
        return tally, max(seconds, await task), count

    before = served.read_memory()
    tally, elapsed, count = asyncio.run(main())
    milliseconds = 1e3 * np.array(tally.latencies or [float("nan")])
    return {
        "max_batch": served.most, "concurrency": concurrency, "requests": count, "errors": len(tally.errors),
        "first_error": (tally.errors or [""])[0], "throughput": count / elapsed,
        "p50_ms": float(np.percentile(milliseconds, 50)), "p99_ms": float(np.percentile(milliseconds, 99)),
        "rss_before_mb": before, "rss_after_mb": served.read_memory(),
    }  # fmt: skip


def run_load(options: argparse.Namespace, size: int, console: Console) -> list[dict[str, Any]]:
    """Rounds of all blocks; the rows of the medians over the rounds."""
    request, deadline = build_request(draw_picture(size)), time.monotonic() + options.limit_seconds
    blocks: dict[tuple[int, int], list[dict[str, Any]]] = {}
    seconds, levels = options.seconds, [int(number) for number in options.concurrency.split(",")]
    with ExitStack() as stack:
        servers = [stack.enter_context(open_server(options, most)) for most in (options.max_batch, 1)]
        worker = stack.enter_context(open_worker(options, size))
        ask_worker(worker, seconds)
        progress = stack.enter_context(Progress(console=console, transient=True))
        task = progress.add_task("load", total=options.rounds * len(servers) * len(levels))
        for _ in range(options.rounds):
            for served in servers:
                before, found = ask_worker(worker, seconds), []
                for concurrency in levels:
                    if time.monotonic() > deadline:
                        console.print(OUT_OF_TIME)
                        return summarize(blocks)
                    found.append(measure(served, request, concurrency, seconds))
                    progress.advance(task)
                after = ask_worker(worker, seconds)
                own = {key: (before[key] + after[key]) / 2 for key in ("network", "pipeline")}
                for row in found:
                    row |= {
                        "own_batch": before["batch"],
                        "own_network": own["network"],
                        "own_pipeline": own["pipeline"],
                    }
                    row |= {"ratio_network": row["throughput"] / own["network"]}
                    row |= {"ratio_pipeline": row["throughput"] / own["pipeline"]}
                    blocks.setdefault((served.most, row["concurrency"]), []).append(row)
    return summarize(blocks)


def summarize(blocks: dict[tuple[int, int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for found in blocks.values():
        row: dict[str, Any] = {"study": "serving_load", "rounds": len(found)}
        for key, value in found[0].items():
            values = [one[key] for one in found]
            whole = key in ("requests", "errors")
            row[key] = sum(values) if whole else statistics.median(values) if isinstance(value, float) else value
        row["first_error"] = next((one["first_error"] for one in found if one["first_error"]), "")
        row["ratios_network"] = [round(one["ratio_network"], 4) for one in found]
        rows.append(row)
    return rows


def run_soak(options: argparse.Namespace, size: int, console: Console) -> list[dict[str, Any]]:
    """Send --requests requests and sample the server's memory a hundred times on the way."""

    async def main(served: Served) -> tuple[Tally, float, list[tuple[int, float]]]:
        tally, samples = Tally(build_request(draw_picture(size)), options.requests), list[tuple[int, float]]()
        task = asyncio.create_task(load(served.port, tally, SOAK_CONCURRENCY, options.limit_seconds))
        step = max(1, options.requests // 100)
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task("soak", total=options.requests)
            while not task.done():
                count = len(tally.latencies) + len(tally.errors)
                if not samples or count >= samples[-1][0] + step:
                    samples.append((count, served.read_memory()))
                    progress.update(bar, completed=count)
                await asyncio.sleep(0.02)
        return tally, await task, [*samples, (len(tally.latencies) + len(tally.errors), served.read_memory())]

    with open_server(options, options.max_batch) as served:
        tally, elapsed, samples = asyncio.run(main(served))
    # The first tenth fills pools and caches.
    settled = [memory for count, memory in samples if count >= options.requests / 10]
    if len(tally.latencies) + len(tally.errors) < options.requests:
        console.print(OUT_OF_TIME)
    return [{
        "study": "serving_soak", "max_batch": options.max_batch, "concurrency": SOAK_CONCURRENCY,
        "requests": len(tally.latencies), "errors": len(tally.errors), "first_error": (tally.errors or [""])[0],
        "seconds": elapsed, "throughput": len(tally.latencies) / elapsed,
        "rss_start_mb": samples[0][1], "rss_settled_mb": settled[0] if settled else None,
        "rss_end_mb": samples[-1][1], "rss_most_mb": max(memory for _, memory in samples),
        "samples": [[count, round(memory, 1)] for count, memory in samples],
    }]  # fmt: skip


def show(rows: list[dict[str, Any]], console: Console) -> None:
    names = (
        "max_batch", "concurrency", "requests", "errors", "throughput", "p50_ms", "p99_ms", "ratio_network",
        "ratio_pipeline", "rss_before_mb", "rss_settled_mb", "rss_end_mb", "rss_most_mb", "rss_after_mb",
    )  # fmt: skip
    shown = [name for name in names if name in rows[0]]
    table = Table(*shown)
    for row in rows:
        table.add_row(*(f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in shown))
    console.print(table)
    for row in rows:
        if row["first_error"]:
            console.print(row["first_error"], markup=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--threads", type=int, default=1, help="of the runtime, in every process")
    parser.add_argument("--max-batch", type=int, default=4, help="of the server with batching")
    parser.add_argument("--picture", type=int, default=0, help="side of the JPEG in pixels; 0 takes the network's own")
    parser.add_argument("--concurrency", default=",".join(map(str, CONCURRENCY)))
    parser.add_argument("--seconds", type=float, default=4.0, help="of each block")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=0, help="send so many to one server and watch its memory")
    parser.add_argument("--limit-seconds", type=float, default=1200.0)
    parser.add_argument("--results", default="")
    parser.add_argument("--alone", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        answer_alone(options.bundle, options.threads, options.alone)
        return 0
    console, card = Console(), read_card(options.bundle)
    own = card["input"]["size"]
    size = options.picture or (own if isinstance(own, int) else own[0])
    busy = os.getloadavg()[0]
    rows = (run_soak if options.requests else run_load)(options, size, console)
    if not rows:
        return 1
    facts = {key: card[key] for key in ("model", "format", "precision", "task")}
    facts |= {"bundle_max_batch": card["input"]["max_batch"], "image_size": own, "picture": size}
    facts |= {"threads": options.threads, "load_before": busy}
    show(rows, console)
    if options.results:
        append_rows(options.results, [row | facts for row in rows])
    return int(any(row["errors"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
