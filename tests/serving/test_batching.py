"""Do pictures of many requests share calls of the network, each with its own answer, and does none wait for nothing?"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import MOST, encode, make_classifier, serve, share

from rapidnet.runtimes.bundle import Bundle
from rapidnet.serving.batching import Batcher, Ran

Pixels = np.ndarray


def draw(number: int, side: int = 4) -> Pixels:
    return np.full((3, side, side), number, dtype=np.uint8)


def send(batcher: Batcher, pixels: Pixels) -> asyncio.Future[tuple[Any, int]]:
    future: asyncio.Future[tuple[Any, int]] = asyncio.get_running_loop().create_future()
    batcher.submit(pixels, future)
    return future


class Recorder:
    """A network that tells each picture its number, and remembers what it was given; it waits while not `free`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, pixels: Pixels) -> Sequence[int]:
        self.free.wait(5)
        numbers = pixels[:, 0, 0, 0].tolist()
        self.batches.append(numbers)
        if 13 in numbers:
            raise ValueError("13 brings bad luck")
        return numbers


def drive(
    work: Callable[[Batcher], Coroutine[Any, Any, None]], compute: Callable[[Pixels], Sequence[Any]], most: int = 4,
    delay: float = 0.0,
) -> list[Ran]:  # fmt: skip
    """Let `work` use a batcher, and stop it; returns what it reported."""
    reports: list[Ran] = []

    async def main() -> None:
        batcher = Batcher(compute, most, delay, reports.append)
        batcher.start()
        await work(batcher)
        batcher.stop()
        await asyncio.to_thread(batcher.thread.join, 5)
        assert not batcher.thread.is_alive()

    asyncio.run(main())
    return reports


def test_what_comes_while_the_network_is_busy_is_one_batch() -> None:
    recorder = Recorder()

    async def work(batcher: Batcher) -> None:
        recorder.free.clear()
        batcher.expect(6)
        futures = [send(batcher, draw(0))]
        while batcher.waiting:
            await asyncio.sleep(0.001)
        futures += [send(batcher, draw(number)) for number in range(1, 6)]
        recorder.free.set()
        found = await asyncio.gather(*futures)
        assert [number for number, _ in found] == list(range(6)), "each has its own answer"
        assert [size for _, size in found] == [1, 4, 4, 4, 4, 1]

    reports = drive(work, recorder)
    assert recorder.batches == [[0], [1, 2, 3, 4], [5]]
    assert [len(ran.waited) for ran in reports] == [1, 4, 1]


def test_answers_exchanged_within_a_batch_would_be_seen() -> None:
    async def work(batcher: Batcher) -> None:
        batcher.expect(2)
        found = await asyncio.gather(*(send(batcher, draw(number)) for number in (3, 4)))
        assert [number for number, _ in found] == [3, 4]

    drive(work, lambda pixels: pixels[:, 0, 0, 0].tolist(), delay=0.2)
    with pytest.raises(AssertionError):
        drive(work, lambda pixels: pixels[::-1, 0, 0, 0].tolist(), delay=0.2)


def test_only_pictures_of_one_shape_go_together() -> None:
    recorder = Recorder()

    async def work(batcher: Batcher) -> None:
        batcher.expect(4)
        sizes = ((1, 4), (2, 6), (3, 4), (4, 6))
        found = await asyncio.gather(*(send(batcher, draw(number, side)) for number, side in sizes))
        assert [number for number, _ in found] == [1, 2, 3, 4]

    drive(work, recorder, delay=0.1)
    assert recorder.batches == [[1, 3], [2, 4]]


@pytest.mark.parametrize(("expected", "least", "most"), [(1, 0.0, 0.1), (2, 0.2, 0.4)])
def test_a_lone_picture_does_not_wait_and_no_other_too_long(expected: int, least: float, most: float) -> None:
    async def work(batcher: Batcher) -> None:
        batcher.expect(expected)
        started = time.perf_counter()
        await send(batcher, draw(1))
        assert least <= time.perf_counter() - started < most

    drive(work, Recorder(), delay=0.2)


def test_who_does_not_come_is_not_waited_for() -> None:
    async def work(batcher: Batcher) -> None:
        batcher.expect(2)
        future = send(batcher, draw(1))
        await asyncio.sleep(0.02)
        assert not future.done()
        batcher.expect(-1)
        await asyncio.wait_for(future, 1)

    drive(work, Recorder(), delay=10)


def test_a_picture_that_fails_fails_alone() -> None:
    recorder = Recorder()

    async def work(batcher: Batcher) -> None:
        batcher.expect(3)
        futures = [send(batcher, draw(number)) for number in (12, 13, 14)]
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert found[0] == (12, 3) and found[2] == (14, 3) and isinstance(found[1], ValueError)
        batcher.expect(1)
        assert await send(batcher, draw(7)) == (7, 1), "the worker lives"

    drive(work, recorder, delay=0.1)
    assert recorder.batches == [[12, 13, 14], [12], [13], [14], [7]]


def test_who_has_gone_is_not_computed() -> None:
    recorder = Recorder()

    async def work(batcher: Batcher) -> None:
        recorder.free.clear()
        batcher.expect(3)
        first = send(batcher, draw(0))
        while batcher.waiting:
            await asyncio.sleep(0.001)
        gone, stays = send(batcher, draw(1)), send(batcher, draw(2))
        gone.cancel()
        recorder.free.set()
        assert (await first, await stays) == ((0, 1), (2, 1))

    drive(work, recorder)
    assert recorder.batches == [[0], [2]]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(tmp_path_factory, "classifier", make_classifier)


def slow_down(bundle: Bundle) -> Bundle:
    """A network that takes 50 ms, as long as the others need to come."""
    network = bundle.network

    def run(images: Pixels) -> dict[str, Pixels]:
        time.sleep(0.05)
        return network.run(images)

    return replace(bundle, network=replace(network, run=run))


def test_requests_share_batches_and_keep_their_answers(classifier: Path) -> None:
    pictures = [encode(seed=seed) for seed in range(12)]
    with serve(classifier, max_batch=100) as server:
        alone = [server.post(data, top=10).json()["results"] for data in pictures]
    with serve(classifier, change=slow_down, max_batch=100) as server, ThreadPoolExecutor(12) as pool:
        together = [one.json()["results"] for one in pool.map(lambda data: server.post(data, top=10), pictures)]
        assert server.read_metric("rapidnet_pictures_total") == 12
        assert 2 <= server.read_metric("rapidnet_batch_pictures_count") <= 6
        sizes = [row["batch"] for row in server.read_log() if "batch" in row]
        # The bundle's own bound holds, whatever was asked for.
        assert max(sizes) <= MOST and sum(size > 1 for size in sizes) >= 8
    for (one,), (other,) in zip(alone, together, strict=True):
        given = {row["class"]: row["probability"] for row in one["predictions"]}
        assert {row["class"]: row["probability"] for row in other["predictions"]} == pytest.approx(given, abs=3e-6)
    # Another picture's answer would be told from one's own by that measure.
    firsts = [{row["class"]: row["probability"] for row in one["predictions"]} for (one,) in alone]
    gaps = [
        max(abs(a[name] - b[name]) for name in a) for i, a in enumerate(firsts) for b in firsts[i + 1 :]
    ]  # fmt: skip
    assert min(gaps) > 3e-5


def test_batching_can_be_turned_off(classifier: Path) -> None:
    with serve(classifier, change=slow_down, max_batch=1) as server, ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda seed: server.post(encode(seed=seed)), range(6)))
        assert server.read_metric("rapidnet_batch_pictures_count") == 6
        assert {row["batch"] for row in server.read_log() if "batch" in row} == {1}


def test_a_client_that_has_gone_frees_its_place(classifier: Path) -> None:
    with serve(classifier, change=slow_down) as server:
        with server.client() as client, pytest.raises(Exception, match="timed out"):
            client.post("/v1/predict", content=encode(), headers={"content-type": "image/png"}, timeout=0.02)
        deadline = time.time() + 5
        while time.time() < deadline and not any(row.get("refused") == "client_gone" for row in server.read_log()):
            time.sleep(0.01)
        rows = [row for row in server.read_log() if row["event"] == "request"]
        assert rows[-1]["refused"] == "client_gone" and server.running.service.inside == 0
