"""What does the server write down, without ever waiting for whoever reads it? One JSON line for each event."""

import json
import logging
import sys
import threading
import time
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import Any, TextIO

MOST_WAITING = 10_000
"""Lines that wait for a slow reader; later ones are counted and dropped."""
SHOWN = 300


class JsonLog:
    """Lines of JSON, written by a thread of its own: a full pipe must not stop the answers."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.lines: deque[str] = deque()
        self.dropped = 0
        self.wake = threading.Event()
        self.stopped = False
        self.thread = threading.Thread(target=self._write, name="log", daemon=True)
        self.thread.start()

    def add(self, event: str, **facts: Any) -> None:
        """Write {"time", "event", facts}."""
        if len(self.lines) >= MOST_WAITING:
            self.dropped += 1
            return
        now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
        self.lines.append(json.dumps({"time": now, "event": event, **facts}) + "\n")
        self.wake.set()

    def add_failure(self, request_id: str, error: BaseException) -> None:
        """An exception that nobody expected, with the places in the code that it came through."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.add("failure", id=request_id, error=type(error).__name__, message=str(error)[:SHOWN], places=places)

    def close(self, seconds: float = 2.0) -> None:
        """Write what is left, unless its reader takes longer."""
        self.stopped = True
        self.wake.set()
        self.thread.join(seconds)

    def _write(self) -> None:
        while True:
            self.wake.wait()
            self.wake.clear()
            stopped = self.stopped
            lines = [self.lines.popleft() for _ in range(len(self.lines))]
            if self.dropped:
                lines.append(json.dumps({"event": "log lines dropped", "count": self.dropped}) + "\n")
                self.dropped = 0
            try:
                self.stream.write("".join(lines))
                self.stream.flush()
            except (OSError, ValueError):
                # Nobody reads any more; the answers go on.
                pass
            if stopped:
                return


class Forwarded(logging.Handler):
    """What the web server's own logger says, as lines of ours."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, Any] = {"level": record.levelname.lower(), "message": record.getMessage().strip()[:SHOWN]}
        if record.exc_info and record.exc_info[1]:
            facts["error"] = type(record.exc_info[1]).__name__
        self.log.add("server", **facts)
