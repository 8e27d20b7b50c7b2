"""How does a picture get its answer: admitted, decoded, run with others, described; and what if there are too many?"""

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapidnet.config import ServeConfig
from rapidnet.runtimes.bundle import Bundle
from rapidnet.serving.answers import Answerer, Prepared, build_answerer
from rapidnet.serving.batching import Batcher, Ran
from rapidnet.serving.metrics import Metrics
from rapidnet.serving.pictures import Upload
from rapidnet.serving.refusals import RefusedError
from rapidnet.serving.uploads import Budget

RECENT = 0.1
"""The weight of the last batch in the mean time of a picture."""


@dataclass(frozen=True)
class Answered:
    """The JSON of each picture in order, and the largest batch that one was in."""

    parts: list[bytes]
    batch: int


@dataclass
class Place:
    """Of one picture: where its result arrives, and how it lies in what the network got."""

    future: asyncio.Future[tuple[Any, int]]
    prepared: Prepared | None = None


class Service:
    """The network with its threads, its queue and its state; all methods belong to one event loop."""

    def __init__(self, bundle: Bundle, config: ServeConfig, metrics: Metrics) -> None:
        self.bundle, self.config, self.metrics = bundle, config, metrics
        self.answerer: Answerer = build_answerer(bundle, config.max_pixels)
        own = bundle.network.batch or bundle.card["input"]["max_batch"]
        self.most = min(config.max_batch, own)
        self.batcher = Batcher(self.answerer.compute, self.most, config.max_delay_ms / 1e3, self._count)
        self.readers = ThreadPoolExecutor(config.readers, thread_name_prefix="reader")
        # Enough decoded pictures for the batch that runs and the next; the others wait as files, which are smaller.
        self.decoded = asyncio.Semaphore(2 * self.most + config.readers)
        self.budget = Budget(round(config.max_upload_mb * 1e6))
        self.inside = 0
        self.requests = 0
        self.seconds_each = 0.0
        self.warm = self.draining = False
        metrics.watch("queue_pictures", "Pictures that wait or are being answered.", lambda: self.inside)
        metrics.watch("uploads_bytes", "Bytes of requests that are held.", lambda: self.budget.held)

    def start(self) -> asyncio.Task[None]:
        """Start the threads; the task is done when the network has run once for one picture and for a full batch."""
        self.batcher.start()
        return asyncio.get_running_loop().create_task(self._warm_up())

    async def _warm_up(self) -> None:
        contract = self.bundle.card["input"]
        size = contract["size"] if isinstance(contract["size"], int) else contract["size"][0]
        shape = (3, contract.get("height", size), contract.get("width", size))
        for count in sorted({1, self.most}):
            self.batcher.expect(count)
            futures = [asyncio.get_running_loop().create_future() for _ in range(count)]
            for future in futures:
                self.batcher.submit(np.zeros(shape, dtype=np.uint8), future)
            await asyncio.gather(*futures)
        self.warm = True

    def stop(self, seconds: float) -> None:
        """End the threads; waits so long for the network, which should not be left in the middle of a call."""
        self.batcher.stop()
        self.readers.shutdown(wait=False, cancel_futures=True)
        self.batcher.thread.join(seconds)

    def check_open(self) -> None:
        """Raise RefusedError while the server drains."""
        if self.draining:
            raise RefusedError("draining", "the server is shutting down; ask another", retry_after=1)

    def check_ready(self) -> None:
        """Raise RefusedError unless requests are answered at once: the server drains, or has not warmed up."""
        self.check_open()
        if not self.warm:
            raise RefusedError("warming_up", "the network is being warmed up", retry_after=1)

    def check_room(self, count: int = 1) -> None:
        """Raise RefusedError unless so many pictures more may come in."""
        if self.inside + count > self.config.max_queue:
            raise RefusedError(
                "queue_full", f"{self.inside} pictures wait already; come again later", retry_after=self.estimate()
            )

    def estimate(self) -> int:
        """Seconds, one at least, until those inside now are answered."""
        return min(60, max(1, math.ceil(self.inside * self.seconds_each)))

    async def answer(self, uploads: Sequence[Upload], asked: float) -> Answered:
        """The answers to the pictures of one request; raises RefusedError for the first that cannot be read."""
        self.check_room(len(uploads))
        self.inside += len(uploads)
        try:
            if len(uploads) == 1:
                found = [await self._answer_one(uploads[0], asked)]
            else:
                found = await gather([self._answer_one(upload, asked) for upload in uploads])
        finally:
            self.inside -= len(uploads)
        return Answered([part for part, _ in found], max(batch for _, batch in found))

    async def _answer_one(self, upload: Upload, asked: float) -> tuple[bytes, int]:
        loop = asyncio.get_running_loop()
        place = Place(loop.create_future())
        self.batcher.expect(1)
        reading = None
        try:
            async with self.decoded:
                reading = self.readers.submit(self._read, upload, place)
                computed, batch = await place.future
        finally:
            # One whose reading was never begun will not come.
            if reading is None or reading.cancel():
                self.batcher.expect(-1)
        prepared = place.prepared
        assert prepared is not None
        if self.answerer.quick:
            return self._describe(computed, prepared, asked), batch
        return await loop.run_in_executor(self.readers, self._describe, computed, prepared, asked), batch

    def _read(self, upload: Upload, place: Place) -> None:
        """In a reader's thread: decode, and queue for the network without a way through the event loop."""
        try:
            place.prepared = self._timed("decode", self.answerer.prepare, upload)
        except BaseException as error:
            self.batcher.expect(-1)
            self.batcher.tell(place.future, error)
            return
        self.batcher.submit(place.prepared.pixels, place.future)

    def _describe(self, computed: Any, prepared: Prepared, asked: float) -> bytes:
        said = self._timed("answer", self.answerer.describe, computed, prepared, asked)
        return json.dumps(said, separators=(",", ":")).encode()

    def _timed(self, stage: str, work: Callable[..., Any], *given: Any) -> Any:
        started = time.perf_counter()
        try:
            return work(*given)
        finally:
            self.metrics.stages[stage].observe(time.perf_counter() - started)

    def _count(self, ran: Ran) -> None:
        each = ran.seconds / len(ran.waited)
        self.seconds_each += (each - self.seconds_each) * (RECENT if self.seconds_each else 1)
        if self.warm:
            self.metrics.count_batch(ran)


async def gather(works: Sequence[Any]) -> list[Any]:
    """Their results in order; at the first failure, or if cancelled, none of the others goes on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
