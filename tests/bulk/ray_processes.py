"""Which processes are below another, and when are they gone? Read from /proc."""

import socket
import sys
import time
from pathlib import Path

import pytest

# Ray is written for another set of warnings than ours.
RAY_MARKS = [
    pytest.mark.filterwarnings("ignore:::ray", "ignore::ResourceWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds Ray's processes in /proc"),
]


def find_processes(ancestor: int, name: str) -> list[int]:
    """The processes below another whose title begins with, or whose program is, `name`."""
    parents, titles = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
                titles[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = []
    for process, title in titles.items():
        above = process
        while above > 1 and above != ancestor:
            above = parents.get(above, 0)
        if above == ancestor and (title.startswith(name) or f"/{name} " in title):
            found.append(process)
    return found


def wait_until_gone(processes: list[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes):
        assert time.monotonic() < deadline, "Ray outlived the command that started it"
        time.sleep(0.1)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the cluster did not start")
