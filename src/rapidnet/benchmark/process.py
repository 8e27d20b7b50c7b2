"""How is a network kept in a process of its own, which does nothing at all while others are timed?"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from rapidnet.errors import UserError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class WorkerProcess:
    """One network in a process of its own, stopped (SIGSTOP) except during its turns, so that no pool of threads spins
    into another's time. Windows knows no such signal: there its threads may idle into the next turn."""

    def __init__(self, kind: str, arguments: dict[str, Any], threads: int, cpus: list[int]) -> None:
        self._stoppable = hasattr(signal, "SIGSTOP")
        variables = {name: str(threads) for name in THREAD_VARIABLES} if threads else {}
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rapidnet.benchmark.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, encoding="utf-8",
            env=os.environ | variables,
        )  # fmt: skip
        self._stopped = False
        try:
            self.facts = self.ask("open", kind=kind, arguments=arguments, cpus=cpus)
        except BaseException:
            self.close()
            raise
        if "error" in self.facts:
            self.close()
            raise UserError(self.facts["error"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, order: str, **details: Any) -> dict[str, Any]:
        """Wake the process, have one order done, stop it again.

        Raises:
            UserError: the process died.
        """
        self._send(signal.SIGCONT if self._stopped else None)
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"order": order} | details) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise UserError(f"the process that was to be timed ended: {self._explain()}")
        if self._stoppable:
            self._send(signal.SIGSTOP)
            self._stopped = True
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, count: int, warm: int) -> list[float]:
        """Milliseconds of each of `count` runs."""
        return list(self.ask("run", count=count, warm=warm)["ms"])

    def split(self, image: str) -> dict[str, float]:
        """Milliseconds of each step from a file to class numbers."""
        return dict(self.ask("split", image=image)["ms"])

    def close(self) -> None:
        """End the process; a stopped one is killed as well."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def _send(self, number: int | None) -> None:
        if number is not None and self._stoppable:
            self._process.send_signal(number)

    def _explain(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        said = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        return said[-1] if said else f"exit code {code}"
