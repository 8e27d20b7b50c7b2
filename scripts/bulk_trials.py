"""How fast are a folder's pictures answered into Parquet, by one process and by Ray, and what does a kill cost?

python scripts/bulk_trials.py BUNDLE IMAGES [--results FILE] [--part-images N] [--workers N]

Each trial is the command itself, in processes of its own, and a row of --results:
one process      rapidnet predict --output
ray              the same with --engine ray, Ray being started on this machine
worker killed    the same, and a worker that is answering a part is ended by SIGKILL
command killed   one process is ended by SIGKILL after a third of the parts; the command is given again
listing          a million names that exist nowhere are listed: in one folder, and in a thousand
The files of every trial are compared with those of the first, byte by byte. Ends with 1 if any differs.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rapidnet.bulk.folders import Entry
from rapidnet.bulk.listing import hash_listing, write_listing
from rapidnet.bulk.pictures import walk
from rapidnet.environment import append_rows

MILLION = 1_000_000


def build_command(options: argparse.Namespace, output: Path, *more: str) -> list[str]:
    command = [sys.executable, "-m", "rapidnet", "predict", options.bundle, options.images, "--output", str(output)]
    return [*command, "--part-images", str(options.part_images), "--json", *more]


def read_parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


def wait_for_parts(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(list(folder.glob("part-*.parquet"))) < count:
        if process.poll() is not None:
            raise SystemExit(f"the command ended before it had {count} parts")
        time.sleep(0.01)


def find_workers(tasks: str) -> list[int]:
    """Ray's workers whose title ends so; the title is written into the command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes().strip(b"\0 ").decode()
            except OSError:
                continue
            if title.startswith("ray::MapWorker") and title.endswith(tasks):
                found.append(int(folder.name))
    return found


def kill_worker(folder: Path, process: subprocess.Popen[str], part_s: float) -> int:
    """End a worker in the middle of a part, the first ones being there; returns how many parts there were."""
    wait_for_parts(folder, 2, process)
    # The parts take equally long, so this is in the midst of one.
    time.sleep(part_s / 2)
    busy = find_workers(".submit")
    if not busy:
        raise SystemExit("no worker was answering a part; give larger --part-images")
    os.kill(busy[0], signal.SIGKILL)
    return len(read_parts(folder))


def measure_rate(folder: Path, part_images: int) -> float:
    """Pictures a second from the first part's end to the last one's, without the start."""
    times = sorted(path.stat().st_mtime_ns / 1e9 for path in folder.glob("part-*.parquet"))
    return (len(times) - 1) * part_images / (times[-1] - times[0])


def run_trial(options: argparse.Namespace, output: Path, *more: str, part_s: float = 0.0) -> dict[str, Any]:
    """One command; with `part_s`, a worker is killed on the way."""
    started = time.monotonic()
    process = subprocess.Popen(build_command(options, output, *more), stdout=subprocess.PIPE, text=True)
    facts = {"parts_when_killed": kill_worker(output, process, part_s)} if part_s else {}
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    seconds = time.monotonic() - started
    summary = json.loads(said)
    return facts | {
        "pictures": summary["pictures"], "unreadable": summary["unreadable"], "parts": summary["parts"],
        "parts_skipped": summary["parts_skipped"], "seconds": round(seconds, 2),
        "pictures_per_s": round(measure_rate(output, options.part_images), 1),
    }  # fmt: skip


def run_killed(options: argparse.Namespace, output: Path, parts: int) -> dict[str, Any]:
    """The command is killed after a third of its parts, and given again."""
    process = subprocess.Popen(build_command(options, output), stdout=subprocess.DEVNULL, text=True)
    wait_for_parts(output, parts // 3, process)
    process.kill()
    process.wait()
    there = len(read_parts(output))
    facts = run_trial(options, output)
    # Its rate would count the pause between the two.
    return facts | {"parts_when_killed": there, "pictures_per_s": None}


class Invented:
    """A folder of names that exist nowhere: `width` folders, or none if that is 1."""

    def __init__(self, width: int) -> None:
        self.width, self.url = width, "invented"

    def scan(self, below: str) -> list[Entry]:
        if self.width > 1 and not below:
            return [Entry(f"folder-{index:06d}", -1, True) for index in range(self.width)]
        return [Entry(f"IMG_{index:09d}.jpg", 100_000 + index, False) for index in range(MILLION // self.width)]


def measure_listing(width: int) -> dict[str, Any]:
    """Runs in a process of its own, whose peak of memory it reads."""
    import pyarrow  # noqa: F401
    from pyarrow import parquet  # noqa: F401

    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    data, summary = write_listing(walk(Invented(width)), 1000)  # type: ignore[arg-type]
    written = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    again = hash_listing(walk(Invented(width)))  # type: ignore[arg-type]
    return {
        "trial": "listing", "pictures": summary.pictures, "folders": width, "seconds": round(written, 2),
        "seconds_again": round(time.monotonic() - started - written, 2), "memory_mb": round((peak - before) / 1024),
        "file_mb": round(len(data) / 1e6, 2), "equal": again.hexdigest() == summary.hexdigest(),
    }  # fmt: skip


def run_listing() -> list[dict[str, Any]]:
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.map(measure_listing, [1, 1000], chunksize=1)


def run_all(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    ray = ["--engine", "ray", "--ray-workers", str(options.workers)]
    rows = [{"trial": "one process"} | run_trial(options, folder / "alone")]
    first = rows[0]
    part_s = options.part_images / first["pictures_per_s"]
    rows.append({"trial": "ray", "workers": options.workers} | run_trial(options, folder / "ray", *ray))
    killed = run_trial(options, folder / "worker", *ray, part_s=part_s)
    rows.append({"trial": "worker killed", "workers": options.workers} | killed)
    rows.append({"trial": "command killed"} | run_killed(options, folder / "command", first["parts"]))
    whole = read_parts(folder / "alone")
    for row, name in zip(rows, ("alone", "ray", "worker", "command"), strict=True):
        row["equal"] = read_parts(folder / name) == whole
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("images")
    parser.add_argument("--results", default="")
    parser.add_argument("--part-images", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rapidnet-bulk-") as folder:
        rows = [*run_all(options, Path(folder)), *run_listing()]
    rows = [{"study": "bulk", "network": Path(options.bundle).name, "data": options.images} | row for row in rows]
    for row in rows:
        print(json.dumps(row))
    if options.results:
        append_rows(options.results, rows)
    return int(not all(row["equal"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
