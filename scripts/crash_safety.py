"""Is there always a valid checkpoint? Kills a training at random moments, fills the disk, cuts and flips files.

Each kind of trial is a row of --results:
kill        a run is killed with SIGKILL at random moments and started again until it ends; after each kill it must hold
            a checkpoint that loads whole, and at its end its weights must equal those of a run never killed
full disk   writing fails at a random size (a limit on file sizes stands for the disk); what was there must be intact
truncation  the last checkpoint is cut at every 4 KiB, and a bit flipped in every 4 KiB: it must be refused, and the run
            go on from the one before
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress, track

from rapidnet.config import BuiltinConfig, OptimizerConfig, TrainConfig
from rapidnet.data.builtin_folder import run_builtin
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.models import read_checkpoint
from rapidnet.training.checkpoint import LAST, read_latest
from rapidnet.training.train import run_train

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["rapidnet.training.train"])
QUIET = Console(quiet=True)


def train(config: TrainConfig, limit: int = 0) -> None:
    """The body of a process; `limit` bounds the size of any file it writes, in bytes."""
    torch.set_num_threads(1)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        code = run_train(config, QUIET)
    except UserError as error:
        print(error, file=sys.stderr)
        code = 2
    os._exit(code)


def build_config(data: Path, output: Path) -> TrainConfig:
    """Many small steps, each with its checkpoint, so that most kills meet one being written."""
    return TrainConfig(
        data=str(data), output=str(output), image_size=32, batch_size=8, epochs=24, save_steps=1, restart=True,
        model_options={"channels": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "mldc_depths": [0, 0, 0, 1]},
        precision="32-true", ema_decay=0.9, workers=0, optimizer=OptimizerConfig(lr=1e-3, warmup_epochs=1),
    )  # fmt: skip


def kill_at_random(root: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill and go on until so many kills happened, then let the run end."""
    data, rng = root / "data", random.Random(seed)
    finish(start(build_config(data, root / "whole")))
    runs, done, invalid, fallbacks, before_first = 0, 0, 0, 0, 0
    during: dict[str, int] = {"writing a checkpoint": 0, "elsewhere": 0}
    equal = []
    bar = Progress(console=Console(stderr=True))
    shown = bar.add_task("killing", total=kills)
    bar.start()
    while done < kills:
        bar.update(shown, completed=done)
        output = root / f"cut_{runs}"
        process = start(build_config(data, output))
        # Up to the moment at which an undisturbed run would end.
        process.join(0.05 + rng.random() * 3.0)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            done += 1
        if not (output / "config.yaml").is_file() or not list(output.glob("*.safetensors")):
            before_first += 1
            continue
        writing = bool(list(output.glob(".*.tmp"))) or not (output / LAST).exists()
        during["writing a checkpoint" if writing else "elsewhere"] += 1
        try:
            _, note = read_latest(output)
            fallbacks += bool(note)
        except UserError as error:
            print(error, file=sys.stderr)
            invalid += 1
        if process.exitcode == 0:
            equal.append(same(root / "whole", output))
            runs += 1
    bar.stop()
    finish(start(build_config(data, root / f"cut_{runs}")))
    equal.append(same(root / "whole", root / f"cut_{runs}"))
    return {
        "trial": "kill", "kills": done, "without_valid_checkpoint": invalid, "went_back_to_previous": fallbacks,
        "before_the_first_checkpoint": before_first, "moments": during, "runs_finished": len(equal),
        "runs_equal_to_the_last_bit": sum(equal),
    }  # fmt: skip


def fill_the_disk(root: Path, trials: int, seed: int) -> dict[str, Any]:
    """Let a checkpoint fail at a random size; the one before must load and the run go on to the same end."""
    data, rng, refused, intact, equal = root / "data", random.Random(seed), 0, 0, 0
    size = (root / "whole" / LAST).stat().st_size
    output = root / "full"
    for _ in track(range(trials), description="filling", console=Console(stderr=True)):
        shutil.rmtree(output, ignore_errors=True)
        first = start(build_config(data, output))
        while not (output / LAST).exists() and first.exitcode is None:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.join()
        refused += finish(start(build_config(data, output), limit=rng.randrange(4096, size))) == 2
        read_latest(output)
        intact += 1
        assert not list(output.glob(".*.tmp")), "a refused checkpoint leaves nothing behind"
        finish(start(build_config(data, output)))
        equal += same(root / "whole", output)
    return {
        "trial": "full disk", "trials": trials, "refused_in_one_sentence": refused, "previous_intact": intact,
        "runs_equal_to_the_last_bit": equal,
    }  # fmt: skip


def cut_everywhere(root: Path) -> dict[str, Any]:
    """Truncate the last checkpoint at every 4 KiB and flip one byte in each 4 KiB."""
    folder = root / "cut_files"
    shutil.copytree(root / "whole", folder)
    raw = (folder / LAST).read_bytes()
    counts = {"truncated": 0, "truncated_refused": 0, "flipped": 0, "flipped_refused": 0, "fell_back": 0}
    for kind in ("truncated", "flipped"):
        for place in range(0, len(raw), 4096):
            damaged = bytearray(raw)
            if kind == "truncated":
                damaged = damaged[:place]
            else:
                damaged[place] ^= 1
            (folder / LAST).write_bytes(bytes(damaged))
            counts[kind] += 1
            try:
                read_checkpoint(folder / LAST)
            except UserError:
                counts[f"{kind}_refused"] += 1
            counts["fell_back"] += "going on from" in read_latest(folder)[1]
    return {"trial": "truncation", "bytes": len(raw)} | counts


def start(config: TrainConfig, limit: int = 0) -> Any:
    process = CONTEXT.Process(target=train, args=(config, limit), daemon=True)
    process.start()
    return process


def finish(process: Any) -> int:
    process.join()
    return int(process.exitcode)


def same(first: Path, second: Path) -> bool:
    a, b = read_checkpoint(first / LAST).tensors, read_checkpoint(second / LAST).tensors
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--full-disks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="")
    args = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="crash_safety_"))
    try:
        run_builtin(BuiltinConfig(output=str(root / "data"), image_size=32, train_length=64, val_length=16))
        rows = [kill_at_random(root, args.kills, args.seed)]
        rows += [fill_the_disk(root, args.full_disks, args.seed), cut_everywhere(root)]
    finally:
        shutil.rmtree(root)
    command = " ".join(["python", "scripts/crash_safety.py", *sys.argv[1:]])
    for row in rows:
        print(row)
        if args.results:
            append_row(
                args.results,
                {"study": "crash safety"} | row | {"environment": describe_environment() | {"command": command}},
            )
    failed = rows[0]["without_valid_checkpoint"] or rows[0]["runs_finished"] != rows[0]["runs_equal_to_the_last_bit"]
    return int(bool(failed or rows[2]["truncated"] != rows[2]["truncated_refused"]))


if __name__ == "__main__":
    sys.exit(main())
