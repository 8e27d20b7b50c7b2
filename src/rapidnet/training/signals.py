"""What may be asked of a running training from outside? Ctrl-C and SIGTERM stop it, SIGUSR1 saves it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818  an event, not an error
    """Training was asked to stop; the last checkpoint continues exactly there. `signum` says by which signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Requests:
    """Signals that arrived and wait for the end of the current update; `stop` is the signal's number or 0."""

    def __init__(self) -> None:
        self.stop, self.save = 0, False

    def ask_stop(self, signum: int, frame: FrameType | None) -> None:
        if self.stop and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop = signum

    def ask_save(self, signum: int, frame: FrameType | None) -> None:
        self.save = True


# Preemption: schedulers send SIGTERM when the job must go, SIGUSR1 some time ahead if told to.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAVE_SIGNALS = tuple(getattr(signal, name) for name in ("SIGUSR1",) if hasattr(signal, name))


@contextmanager
def listen() -> Iterator[Requests]:
    """Turn these signals into requests while the block runs; a second Ctrl-C stops at once.

    Within such a block of another's, as a run within a study, a request to stop is the other's too once this one ends:
    it may have come when there was no update left to stop after.
    """
    requests = Requests()
    handlers = dict.fromkeys(STOP_SIGNALS, requests.ask_stop) | dict.fromkeys(SAVE_SIGNALS, requests.ask_save)
    before = {signum: signal.signal(signum, handler) for signum, handler in handlers.items()}
    try:
        yield requests
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        outer = getattr(before[signal.SIGTERM], "__self__", None)
        if isinstance(outer, Requests):
            outer.stop = outer.stop or requests.stop
