"""Do the workers of a Ray cluster write what one process writes, though one is killed in the middle?"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk_commands import read_folder
from ray_processes import RAY_MARKS, find_processes
from small_bundles import write_pictures

from rapidnet import __version__
from rapidnet.bulk import ray_cluster, ray_engine
from rapidnet.bulk.begin import ask, begin
from rapidnet.bulk.folders import open_folder
from rapidnet.bulk.network import describe_network, pack_network
from rapidnet.bulk.pictures import find_pictures
from rapidnet.bulk.predict import run_predict
from rapidnet.bulk.worker import Assignment
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

pytest_plugins = ("bulk_fixtures",)
pytestmark = RAY_MARKS
PART = 50


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers' worth of Ray, which the command finds connected; nothing of it is left afterwards."""
    ray = ray_cluster.import_ray()
    with tempfile.TemporaryDirectory(prefix="rn-ray-") as folder:
        ray_cluster.lock()
        with ray_cluster.hush():
            ray.init(
                "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
                object_store_memory=200_000_000, _temp_dir=folder,
            )  # fmt: skip
        yield ray
        ray.shutdown()
    assert not find_processes(os.getpid(), "raylet")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos", 400, bad=(3, 170))


@pytest.fixture(scope="module")
def alone(classifier: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes."""
    output = tmp_path_factory.mktemp("alone") / "out"
    assert run_predict(PredictConfig(str(classifier), str(pictures), output=str(output), part_images=PART)) == 0
    return read_folder(output)


def with_ray(run: Path, images: Path | str, output: Path | str, **options: Any) -> int:
    settings = {"part_images": PART, "ray_workers": 2} | options
    return run_predict(PredictConfig(str(run), str(images), output=str(output), engine="ray", **settings))


def wait_for_reader(pipe: Path) -> int:
    """Open a pipe to write once somebody reads it, who then waits for what is written."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.01)
    raise AssertionError("no worker came to this picture")


def find_reader(pipe: Path) -> int:
    """The worker that has the pipe open."""
    while True:
        for process in find_processes(os.getpid(), "ray::MapWorker"):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                if os.path.islink(descriptor) and os.readlink(descriptor) == str(pipe):
                    return process
        time.sleep(0.01)


def test_a_worker_killed_in_the_middle_of_a_part_loses_nothing(
    cluster: Any, classifier: Path, pictures: Path, alone: dict[str, bytes], tmp_path: Path,
    capfd: pytest.CaptureFixture,
) -> None:  # fmt: skip
    """Begun by one process, gone on with by two workers, of which one dies, and mended by one process at last."""
    output = tmp_path / "out"
    output.mkdir()
    kept = ("part-000000.parquet", "part-000004.parquet", "_manifest.json", "_listing.parquet")
    for name in kept:
        (output / name).write_bytes(alone[name])
    (output / "part-000002.parquet").write_bytes(alone["part-000002.parquet"][:-100])
    # A picture that takes as long as we like: a pipe, until its reader is dead.
    slow = pictures / "a" / "0150.jpg"
    picture = slow.read_bytes()
    slow.unlink()
    os.mkfifo(slow)
    killed: dict[str, Any] = {}

    def kill() -> None:
        writing = wait_for_reader(slow)
        worker = find_reader(slow)
        killed["libraries"] = Path(f"/proc/{worker}/maps").read_text()
        killed["others"] = [other for other in find_processes(os.getpid(), "ray::MapWorker") if other != worker]
        os.kill(worker, signal.SIGKILL)
        slow.with_suffix(".tmp").write_bytes(picture)
        slow.with_suffix(".tmp").replace(slow)
        os.close(writing)

    thread = threading.Thread(target=kill)
    thread.start()
    before = {name: (output / name).stat().st_mtime_ns for name in kept}
    assert with_ray(classifier, pictures, output, json=True, as_listed=True) == 0
    thread.join()
    assert len(killed["others"]) == 1
    assert read_folder(output) == alone
    assert {name: (output / name).stat().st_mtime_ns for name in kept} == before
    printed = capfd.readouterr()
    assert "1 parts were begun again, since their workers were lost" in printed.err
    summary = json.loads(printed.out)
    assert (summary["parts"], summary["parts_skipped"], summary["unreadable"]) == (8, 2, 2)
    # A bundle needs no torch, in a worker neither.
    assert "onnxruntime" in killed["libraries"] and "libtorch" not in killed["libraries"]
    (output / "part-000001.parquet").unlink()
    assert run_predict(PredictConfig(str(classifier), str(pictures), output=str(output), part_images=PART)) == 0
    assert read_folder(output) == alone


class Remote:
    """What Ray gives for the method of an actor, without Ray."""

    def __init__(self, function: Any) -> None:
        self.remote = function


@pytest.fixture
def work(classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a worker in this process, on the first part of a job; returns what it says."""
    ray = ray_cluster.import_ray()
    monkeypatch.setattr(ray, "get", lambda thing: thing)
    monkeypatch.setenv("RAPIDNET_WORKER", "1")
    tries = ray_engine.build_tries()()
    tries.begin = Remote(tries.begin)

    def run(images: Path, strict: bool = False, version: str = __version__, most: int = 5) -> dict[str, Any]:
        config = PredictConfig(str(classifier), str(images), output=str(tmp_path / "out"), part_images=2)
        output, found = open_folder(config.output), find_pictures(config.images)
        job = begin(output, ask(config, describe_network(config)), found.list(), as_listed=False)
        if not (tmp_path / "seen").exists():
            images.rename(tmp_path / "moved")
        assignment = Assignment(job, found.root, found.shown, output.url, "best", strict)
        worker = ray_engine.build_worker()((assignment, pack_network(config.run)), tries, version, most)
        answer: dict[str, Any] = worker({"part": np.array([0])})
        if worker.worker and worker.worker.worker:
            worker.worker.worker.close()
        return {key: value[0] for key, value in answer.items()}

    (tmp_path / "seen").touch()
    return run


def test_what_stops_a_worker_is_one_sentence(work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = write_pictures(tmp_path / "photos", 2, bad=(1,))
    assert "0001.jpg is unreadable: it is in no image" in work(photos, strict=True)["stop"]
    # What kills whoever touches it does not go on killing for ever.
    assert "part 0 has ended 1 workers one after another" in work(photos, most=1)["stop"]
    assert f"has rapidnet {__version__} and this is 0.0.9" in work(photos, version="0.0.9")["stop"]
    assert work(photos) == {"part": 0, "stop": "", "pictures": 2, "unreadable": 1}
    # Done by a worker that was lost before it could say so: found, not made again.
    made = (tmp_path / "out" / "part-000000.parquet").stat().st_mtime_ns
    assert work(photos, most=0) == {"part": 0, "stop": "", "pictures": 2, "unreadable": 1}
    assert (tmp_path / "out" / "part-000000.parquet").stat().st_mtime_ns == made
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        assert "pip install 'rapidnet[onnx]'" in work(photos)["stop"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rapidnet.bulk.ray_worker", None)
        assert "a Ray worker cannot import rapidnet.bulk.ray_worker; install on every node" in work(photos)["stop"]
    (tmp_path / "seen").unlink()
    assert f"a worker does not see {photos}" in work(photos)["stop"]


@pytest.mark.slow
def test_what_stops_a_worker_stops_the_command(cluster: Any, classifier: Path, tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "photos", 8, bad=(6,))
    with pytest.raises(UserError, match=r"^image .*0006\.jpg is unreadable: .*; mend it"):
        with_ray(classifier, photos, tmp_path / "out", part_images=2, bad_samples="error")
    with pytest.raises(UserError, match=r"has 2 processors and a worker needs 3"):
        with_ray(classifier, photos, tmp_path / "other", threads=3)
    assert with_ray(classifier, photos, tmp_path / "out", part_images=2) == 0
    deadline = time.monotonic() + 20
    while find_processes(os.getpid(), "ray::MapWorker") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not find_processes(os.getpid(), "ray::MapWorker"), "the workers end with the command"


def test_memory_is_seen_by_one_process(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Ray worker sees it"):
        with_ray(classifier, "memory://photos", tmp_path / "memory")


@pytest.mark.parametrize(
    ("address", "why"), [("127.0.0.1:1", "refused"), ("ray://127.0.0.1:10001", "HOST:PORT"), ("nowhere", "HOST:PORT")]
)
def test_a_cluster_that_is_not_there(
    address: str, why: str, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = ray_cluster.import_ray()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    photos = write_pictures(tmp_path / "photos", 2)
    started = time.monotonic()
    with pytest.raises(UserError, match=f"there is no Ray cluster at {address} .*{why}"):
        with_ray(classifier, photos, tmp_path / "out")
    assert time.monotonic() - started < 5


def test_one_bit_is_seen(alone: dict[str, bytes]) -> None:
    """The comparison of files would notice another answer, and it is one of several."""
    data = np.frombuffer(alone["part-000003.parquet"], dtype=np.uint8).copy()
    data[100] ^= 1
    assert alone | {"part-000003.parquet": data.tobytes()} != alone
    assert len(set(alone.values())) == len(alone) == 11
