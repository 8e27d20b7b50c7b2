"""How do pictures of many requests share one call of the network, and none wait for nothing?"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapidnet.runtimes.network import Array

Compute = Callable[[Array], Sequence[Any]]
"""uint8 [B, 3, H, W] -> one result for each."""


@dataclass(eq=False)
class Item:
    """A picture that waits; its future gets (result, pictures of the batch) or the exception of its own picture."""

    pixels: Array
    future: asyncio.Future[tuple[Any, int]]
    queued: float


@dataclass(frozen=True)
class Ran:
    """What a batch took: seconds that its pictures waited each, and seconds of the network."""

    waited: list[float]
    seconds: float


class Batcher:
    """One thread that runs the network on whatever has come while it was busy, up to `most` pictures of one shape.

    When it is free and fewer are there, it waits for those that are being read (`expected`), for `delay` seconds
    after the first came at most. Where none are, it starts at once: a lone request waits for nobody.
    """

    def __init__(self, compute: Compute, most: int, delay: float, report: Callable[[Ran], None]) -> None:
        self.compute, self.most, self.delay, self.report = compute, most, delay, report
        self.waiting: deque[Item] = deque()
        self.expected = 0
        self.stopped = False
        self.changed = threading.Condition()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(target=self._work, name="network", daemon=True)

    def start(self) -> None:
        """To be called in the event loop that will await the answers."""
        self.loop = asyncio.get_running_loop()
        self.thread.start()

    def stop(self) -> None:
        """Finish the batch that is running, and no other."""
        with self.changed:
            self.stopped = True
            self.changed.notify()

    def expect(self, count: int) -> None:
        """So many pictures more (or fewer) are on their way here."""
        with self.changed:
            self.expected += count
            if count < 0:
                self.changed.notify()

    def submit(self, pixels: Array, future: asyncio.Future[tuple[Any, int]]) -> None:
        """Queue one of the pictures expected, uint8 [3, H, W], from any thread; cancelled, it leaves the queue."""
        item = Item(pixels, future, time.perf_counter())
        with self.changed:
            self.expected -= 1
            self.waiting.append(item)
            # Woken for each picture, the thread would take the interpreter's lock from those that read the next.
            if len(self.waiting) in (1, self.most) or self.expected <= 0:
                self.changed.notify()

    def _work(self) -> None:
        while batch := self._take():
            started = time.perf_counter()
            results = self._run(batch)
            ran = Ran([started - item.queued for item in batch], time.perf_counter() - started)
            assert self.loop is not None
            try:
                self.loop.call_soon_threadsafe(self._deliver, batch, results, ran)
            except RuntimeError:
                # The loop was closed while the network ran.
                return

    def _take(self) -> list[Item]:
        """The next batch; nothing once stopped."""
        with self.changed:
            while not self.stopped:
                self.waiting = deque(item for item in self.waiting if not item.future.cancelled())
                if not self.waiting:
                    self.changed.wait()
                    continue
                first = self.waiting[0]
                batch = [item for item in self.waiting if item.pixels.shape == first.pixels.shape][: self.most]
                left = first.queued + self.delay - time.perf_counter()
                if len(batch) < self.most and self.expected > 0 and left > 0:
                    self.changed.wait(left)
                    continue
                taken = set(batch)
                self.waiting = deque(item for item in self.waiting if item not in taken)
                return batch
        return []

    def _run(self, batch: list[Item]) -> list[Any]:
        """A result or an exception for each. If a batch fails, each picture is tried alone: one may be at fault."""
        try:
            results = list(self.compute(np.stack([item.pixels for item in batch])))
            if len(results) != len(batch):
                raise RuntimeError(f"the network gave {len(results)} answers to {len(batch)} pictures")
            return results
        except Exception as error:
            return [error] if len(batch) == 1 else [self._run([item])[0] for item in batch]

    def _deliver(self, batch: list[Item], results: list[Any], ran: Ran) -> None:
        self.report(ran)
        for item, result in zip(batch, results, strict=True):
            settle(item.future, result if isinstance(result, BaseException) else (result, len(batch)))

    def tell(self, future: asyncio.Future[tuple[Any, int]], error: BaseException) -> None:
        """From any thread: this picture will not come, and why."""
        assert self.loop is not None
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(settle, future, error)


def settle(future: asyncio.Future[tuple[Any, int]], result: Any) -> None:
    """Give a result or an exception to whoever still waits for it."""
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
