"""Does the process that is timed do as it is told, and nothing while others are timed?"""

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rapidnet.benchmark.gemm import GEMM_SIDE, open_gemm
from rapidnet.benchmark.process import WorkerProcess
from rapidnet.benchmark.worker import serve, time_runs
from rapidnet.errors import UserError


def order(*orders: dict) -> list[dict]:
    answers = io.StringIO()
    serve(io.StringIO("".join(json.dumps(item) + "\n" for item in orders)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_times_are_the_clocks() -> None:
    ticks = itertools.accumulate([0, 1_000_000, 5, 2_500_000, 5, 4_000_000])
    calls: list[int] = []
    assert time_runs(lambda: calls.append(1), 3, warm=2, clock=lambda: next(ticks)) == [1.0, 2.5, 4.0]
    assert len(calls) == 5


def test_a_bundle_is_opened_and_run(bundle: Path) -> None:
    arguments = {"path": str(bundle), "threads": 1, "batch": 1}
    opened, run, memory = order(
        {"order": "open", "kind": "bundle", "arguments": arguments},
        {"order": "run", "count": 3, "warm": 1},
        {"order": "memory"},
    )
    assert opened["batch"] == 1 and opened["image_size"] == 64 and opened["runtime"].startswith("onnxruntime")
    assert opened["load_ms"] > 0 and opened["first_ms"] > 0
    assert len(run["ms"]) == 3 and min(run["ms"]) > 0
    assert memory["peak_mb"] >= opened["peak_mb"] > 1


def test_the_way_from_a_file_to_an_answer(bundle: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.effect_noise((320, 200), 50).convert("RGB").save(tmp_path / "photo.jpg")
    arguments = {"path": str(bundle), "threads": 1, "batch": 1}
    _, split = order(
        {"order": "open", "kind": "bundle", "arguments": arguments},
        {"order": "split", "image": str(tmp_path / "photo.jpg")},
    )
    assert list(split["ms"]) == ["decode", "resize", "copy", "normalise", "model", "post"]
    assert split["ms"]["decode"] > 0 and split["ms"]["model"] > 0


def test_what_cannot_be_opened_is_said() -> None:
    (answer,) = order({"order": "open", "kind": "bundle", "arguments": {"path": "none", "threads": 1, "batch": 1}})
    assert "none is not a bundle" in answer["error"]


def test_the_product_is_right_and_comes_from_a_library() -> None:
    run, library = open_gemm(1)
    run()
    assert library.split()[0] in ("numpy", "onnxruntime", "openvino") and GEMM_SIDE == 768


def read_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the state of a process is read from /proc")
def test_a_process_stands_still_between_its_turns(bundle: Path) -> None:
    worker = WorkerProcess("bundle", {"path": str(bundle), "threads": 2, "batch": 1}, 2, [])
    try:
        for _ in range(2):
            subprocess.run(["sleep", "0.05"], check=True)
            assert read_state(worker.pid) == "T"
            assert len(worker.run(2, 1)) == 2
    finally:
        worker.close()
    assert not Path(f"/proc/{worker.pid}").exists()


def test_torch_is_not_loaded_for_a_runtime_that_needs_none(bundle: Path) -> None:
    text = (
        "import sys, json; from rapidnet.benchmark import worker; import io;"
        f"worker.serve(io.StringIO(json.dumps({{'order': 'open', 'kind': 'bundle', 'arguments': "
        f"{{'path': {str(bundle)!r}, 'threads': 1, 'batch': 1}}}})), io.StringIO());"
        "print('torch' in sys.modules)"
    )
    # As the bench command starts it: by its module's name.
    program = f"import sys; sys.orig_argv = ['python', '-m', 'rapidnet.benchmark.worker']; {text}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_process_that_dies_is_a_users_error(bundle: Path) -> None:
    worker = WorkerProcess("bundle", {"path": str(bundle), "threads": 1, "batch": 1}, 1, [])
    worker._process.kill()
    with pytest.raises(UserError, match="the process that was to be timed ended"):
        worker.run(1, 0)
    worker.close()


def test_a_bundle_that_cannot_be_opened_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a bundle"):
        WorkerProcess("bundle", {"path": str(tmp_path), "threads": 1, "batch": 1}, 1, [])
