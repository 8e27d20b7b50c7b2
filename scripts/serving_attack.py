"""Does the server stay up, small and of use to others while it is attacked from all sides?

    python scripts/serving_attack.py BUNDLE --results results/serving.jsonl

A server in a process of its own gets, one attack after the other and each for --seconds: decompression bombs and
pictures at the pixel limit, files with random damage, forms and heads that are none, bodies without end, hundreds of
clients that send a byte at a time, thousands of connections, and requests made from its own schema. Beside each attack
another client asks for a small picture's answer again and again. Ends with 1 if any answer was a 5xx, the log holds a
failure, that client was left without an answer for more than five seconds, or memory grew beyond --most-mb.
"""

import argparse
import asyncio
import json
import os
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from serving_load import ENVIRONMENT, build_request, draw_picture

from rapidnet.environment import append_rows

PATIENCE = 5.0
"""Seconds that an honest client may be left without an answer."""
FLOODS = {"3000 connections"}
"""What one process cannot tell from honest clients, and so may starve them while it lasts: a proxy's affair."""
HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: attack\r\ncontent-type: "
Statuses = Counter[str]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def draw_png(width: int, height: int, rows: int) -> bytes:
    """A black PNG that says it has so many pixels, and holds so many of its rows."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes((3 * width + 1) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


async def exchange(port: int, data: bytes, statuses: Statuses, seconds: float = 40.0) -> None:
    """Send bytes on a connection of their own and count the first line of what comes back."""
    writer = None
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            line = await reader.readline()
            statuses[line.split(b" ")[1].decode() if line.startswith(b"HTTP") else "closed"] += 1
    except (OSError, TimeoutError) as error:
        statuses[type(error).__name__] += 1
    finally:
        if writer:
            writer.transport.abort()


def post(data: bytes, kind: bytes = b"image/png") -> bytes:
    return HEAD + kind + b"\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(data) + data


async def repeat(make: Callable[[], bytes], port: int, statuses: Statuses, seconds: float, at_once: int) -> None:
    """Exchanges, so many at a time, until the time is over."""
    end = time.monotonic() + seconds

    async def one() -> None:
        while time.monotonic() < end:
            await exchange(port, make(), statuses)

    await asyncio.gather(*(one() for _ in range(at_once)))


async def throw_bombs(port: int, statuses: Statuses, seconds: float) -> None:
    sizes = [(60_000, 60_000, 1), (5000, 5000, 5000), (24_000, 1000, 1000), (20_000_000, 1, 1), (5001, 5000, 100)]
    bombs = [post(draw_png(*size)) for size in sizes]
    await repeat(lambda: random.choice(bombs), port, statuses, seconds, 16)


async def damage_files(port: int, statuses: Statuses, seconds: float) -> None:
    whole = draw_picture(96)

    def make() -> bytes:
        data = bytearray(whole)
        for _ in range(random.choice((1, 4, 16))):
            data[random.randrange(len(data))] = random.randrange(256)
        return post(bytes(data[: random.randrange(1, len(data))] if random.random() < 0.3 else data))

    await repeat(make, port, statuses, seconds, 8)


async def break_forms(port: int, statuses: Statuses, seconds: float) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="../../a\x00\xff"\r\n\r\n'
    forms = [part * 5000, part + b"\r\n" * 500_000, b"--x" * 300_000, b"--x\r\n" + b"a: b\r\n" * 100_000,
             part + b"\r\n--" * 300_000, part + draw_picture(32) + b"\r\n--x--"]  # fmt: skip
    heads = [
        b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000, os.urandom(5000), b"\r\n" * 50_000,
        HEAD + b"image/png\r\ntransfer-encoding: chunked\r\n\r\nfffffffff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /%00%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
    ]  # fmt: skip
    requests = [post(form, b"multipart/form-data; boundary=x") for form in forms] + heads
    await repeat(lambda: random.choice(requests), port, statuses, seconds, 8)


async def send_without_end(port: int, statuses: Statuses, seconds: float) -> None:
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"

    async def one() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(HEAD + b"image/png\r\ntransfer-encoding: chunked\r\n\r\n")
                while time.monotonic() < end:
                    writer.write(piece)
                    await writer.drain()
            except OSError:
                statuses["closed"] += 1

    await asyncio.gather(*(one() for _ in range(8)))


async def drip(port: int, statuses: Statuses, seconds: float) -> None:
    """Three hundred clients that send a byte a second, of a head or a body."""

    async def one(data: bytes) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(data)
                while time.monotonic() < end:
                    await asyncio.sleep(1)
                    writer.write(b"x")
                    await writer.drain()
            except OSError:
                statuses["closed"] += 1

    heads = [HEAD + b"image/png\r\nx: ", HEAD + b"image/png\r\ncontent-length: 100000\r\n\r\n"]
    await asyncio.gather(*(one(heads[n % 2]) for n in range(300)))


async def connect_countless(port: int, statuses: Statuses, seconds: float) -> None:
    """Three thousand silent connections, opened again as they are closed."""
    end = time.monotonic() + seconds

    async def one() -> None:
        while time.monotonic() < end:
            writer = None
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                async with asyncio.timeout(max(0.1, end - time.monotonic())):
                    await reader.read(1)
                statuses["closed"] += 1
            except (OSError, TimeoutError):
                await asyncio.sleep(0.2)
            finally:
                if writer:
                    writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(3000)))


async def follow_schema(port: int, statuses: Statuses, seconds: float) -> None:
    """Requests made from the OpenAPI document by schemathesis, in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--explore", str(port), "--seconds", str(seconds), "none"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    statuses.update(json.loads(out.splitlines()[-1]) if out.strip() else {"no answer": 1})


def explore(port: int, seconds: float) -> None:
    """Print how often each status came; stops at the first answer that breaks the schema."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode, checks

    statuses: Statuses = Counter()
    held = [checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
            checks.response_schema_conformance, checks.response_headers_conformance]  # fmt: skip
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for operation in operations:
            positive = [GenerationMode.POSITIVE]
            for mode in list(GenerationMode) if operation.label.startswith("POST") else positive:

                @settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate],
                          suppress_health_check=list(HealthCheck))  # fmt: skip
                @given(case=operation.as_strategy(generation_mode=mode))
                def ask(case: schemathesis.Case) -> None:
                    response = case.call()
                    statuses[str(response.status_code)] += 1
                    case.validate_response(response, checks=held)

                try:
                    ask()
                except Exception as error:
                    print(error, file=sys.stderr)
                    statuses["against the schema"] += 1
    print(json.dumps(statuses))


ATTACKS: dict[str, Callable[[int, Statuses, float], Awaitable[None]]] = {
    "bombs": throw_bombs, "damaged files": damage_files, "broken forms and heads": break_forms,
    "bodies without end": send_without_end, "a byte a second": drip, "3000 connections": connect_countless,
    "requests from the schema": follow_schema,
}  # fmt: skip


async def probe(port: int, stop: asyncio.Event, waits: list[float], statuses: Statuses) -> None:
    """An honest client: a small picture every tenth of a second, on a connection of its own."""
    request = build_request(draw_picture(32)).replace(b"host: load", b"host: load\r\nconnection: close")
    while not stop.is_set():
        started = time.perf_counter()
        while True:
            before = statuses["200"]
            await exchange(port, request, statuses)
            if statuses["200"] > before or time.perf_counter() - started > 2 * PATIENCE:
                break
            await asyncio.sleep(0.05)
        waits.append(time.perf_counter() - started)
        await asyncio.sleep(0.1)


async def attack(name: str, port: int, pid: int, seconds: float) -> dict[str, Any]:
    """One attack with the honest client beside it."""
    stop, waits, honest, statuses = asyncio.Event(), list[float](), Statuses(), Statuses()
    probing = asyncio.create_task(probe(port, stop, waits, honest))
    most, attacking = 0.0, asyncio.ensure_future(ATTACKS[name](port, statuses, seconds))
    while not attacking.done():
        most = max(most, read_memory(pid))
        await asyncio.sleep(0.05)
    await attacking
    stop.set()
    await probing
    milliseconds = 1e3 * np.array(waits)
    return {
        "study": "serving_attack", "attack": name, "statuses": dict(sorted(statuses.items())),
        "honest": dict(sorted(honest.items())), "honest_p50_ms": float(np.percentile(milliseconds, 50)),
        "honest_most_ms": float(milliseconds.max()), "rss_most_mb": most, "rss_after_mb": read_memory(pid),
    }  # fmt: skip


def read_memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each attack")
    parser.add_argument("--most-mb", type=float, default=1500.0, help="memory of the server that is too much")
    parser.add_argument("--results", default="")
    parser.add_argument("--explore", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.explore:
        explore(options.explore, options.seconds)
        return 0
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    command = [sys.executable, "-m", "rapidnet", "serve", options.bundle, "--port", "0", "--threads", "1",
               "--header-seconds", "3", "--timeout-seconds", "10"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stderr and process.stdout
    found = re.search(r":(\d+);", process.stderr.readline())
    if not found:
        raise SystemExit(process.stderr.read())
    console, rows = Console(), list[dict[str, Any]]()
    failures: list[str] = []

    def watch() -> None:
        assert process.stdout
        failures.extend(line for line in process.stdout if '"event": "failure"' in line)

    reader = threading.Thread(target=watch)
    reader.start()
    try:
        for name in ATTACKS:
            with console.status(name):
                rows.append(asyncio.run(attack(name, int(found[1]), process.pid, options.seconds)))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        reader.join()
    table = Table("attack", "answers", "beside it, p50 ms", "longest ms", "memory, most MB", "after MB")
    for row in rows:
        answers = ", ".join(f"{count} x {status}" for status, count in row["statuses"].items())
        table.add_row(row["attack"], answers, f"{row['honest_p50_ms']:.1f}", f"{row['honest_most_ms']:.0f}",
                      f"{row['rss_most_mb']:.0f}", f"{row['rss_after_mb']:.0f}")  # fmt: skip
    console.print(table)
    for failure in failures:
        console.print(failure, markup=False)
    if options.results:
        append_rows(options.results, [row | {"failures": len(failures)} for row in rows])
    broken = [row for row in rows if any(key[:1] in "5a" for key in (*row["statuses"], *row["honest"]))]
    slow = [row for row in rows if row["honest_most_ms"] > 1e3 * PATIENCE and row["attack"] not in FLOODS]
    large = [row for row in rows if row["rss_most_mb"] > options.most_mb]
    return int(bool(broken or slow or large or failures or code))


if __name__ == "__main__":
    sys.exit(main())
