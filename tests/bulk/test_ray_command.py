"""Does the command bring Ray up and down by itself, and join a cluster that runs already?"""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from bulk_commands import SRC, read_folder
from fake_s3 import serve_s3
from pyarrow import parquet
from ray_processes import RAY_MARKS, find_processes, is_alive, wait_for, wait_until_gone
from small_bundles import write_pictures

from rapidnet.bulk import ray_cluster
from rapidnet.bulk.predict import run_predict
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

pytest_plugins = ("bulk_fixtures",)
pytestmark = RAY_MARKS
PART = 50


def command(classifier: Path, pictures: Path | str, output: Path | str) -> list[str]:
    return [
        sys.executable, "-m", "rapidnet", "predict", str(classifier), str(pictures), "--output", str(output),
        "--engine", "ray", "--ray-workers", "2", "--part-images", str(PART), "--json",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_killed_command_leaves_no_process_and_goes_on(classifier: Path, tmp_path: Path) -> None:
    """The command starts Ray itself; with it, all of Ray ends, though nobody could tell it to."""
    pictures = write_pictures(tmp_path / "photos", 2000, bad=(3, 1700))
    whole, output = tmp_path / "whole", tmp_path / "out"
    assert run_predict(PredictConfig(str(classifier), str(pictures), output=str(whole), part_images=PART)) == 0
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    process = subprocess.Popen(command(classifier, pictures, output), env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(output.glob("part-*"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    below, workers = find_processes(process.pid, ""), find_processes(process.pid, "ray::MapWorker")
    logs = re.findall(
        rb"/tmp/rapidnet-ray-\w+", b"".join(Path(f"/proc/{child}/cmdline").read_bytes() for child in below)
    )
    process.kill()
    process.wait()
    assert len(workers) == 2 and len(below) > len(workers)
    wait_until_gone(workers, 30)
    made = len(list(output.glob("part-*")))
    assert 2 <= made < 40
    done = subprocess.run(command(classifier, pictures, output), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parts_skipped"] == made
    assert read_folder(output) == read_folder(whole)
    # Standard error is a person's: nothing of Ray's own is there.
    assert "ray" not in done.stderr.lower().replace(str(tmp_path).lower(), "")
    # Those without a worker's work look for their parent once a minute.
    wait_until_gone(below, 100)
    # Nobody was left to tidy up.
    assert len(set(logs)) == 1
    shutil.rmtree(logs[0].decode())


@pytest.mark.slow
def test_from_s3_to_s3_on_a_cluster_that_runs_already(classifier: Path, tmp_path: Path) -> None:
    """A cluster of its own, joined by address; pictures and answers in a bucket of a server that speaks S3."""
    photos = write_pictures(tmp_path / "photos", 100, bad=(7,))
    objects = {f"photos/{path.relative_to(photos).as_posix()}": path.read_bytes() for path in photos.rglob("*.jpg")}
    assert run_predict(PredictConfig(str(classifier), str(photos), output=str(tmp_path / "o"), part_images=PART)) == 0
    port = find_port()
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    with serve_s3(bucket=objects) as server, tempfile.TemporaryDirectory(prefix="rn-ray-") as folder:
        environment = os.environ | {
            "PYTHONPATH": str(SRC), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        }  # fmt: skip
        head = subprocess.Popen(
            [
                *ray, "start", "--head", "--block", f"--port={port}", "--num-cpus=2", f"--temp-dir={folder}",
                "--include-dashboard=false", "--object-store-memory=200000000",
            ],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(port)
            asked = environment | {"RAY_ADDRESS": f"127.0.0.1:{port}"}
            wrong = {"RAY_AUTH_TOKEN": "f" * 64, "RAY_NUM_REDIS_GET_RETRIES": "1"}
            line = command(classifier, "s3://bucket/photos/", "s3://bucket/answers")
            refused = subprocess.run(line, capture_output=True, text=True, env=asked | wrong)
            assert refused.returncode == 2 and "wants its token" in refused.stderr, refused.stderr
            done = subprocess.run(line, capture_output=True, text=True, env=asked)
            assert done.returncode == 0, done.stderr
        finally:
            below = find_processes(head.pid, "")
            head.terminate()
            head.wait(60)
        assert not [child for child in below if is_alive(child)]
        stored = server.buckets["bucket"]
    assert json.loads(stored["answers/_finished.json"]) == {"pictures": 100, "unreadable": 1, "parts": 2}
    assert b"secret" not in stored["answers/_manifest.json"]
    for index in range(2):
        name = f"part-00000{index}.parquet"
        assert rows_without_names(stored[f"answers/{name}"]) == rows_without_names((tmp_path / "o" / name).read_bytes())


def test_another_server_than_ray_is_told_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for its answer for ever; a server of Ray's kind is joined in the slow tests."""
    with serve_s3() as server:
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(UserError, match="what listens there is no Ray"):
            ray_cluster.check_reachable(address)
        monkeypatch.setenv("RAY_USE_TLS", "1")
        ray_cluster.check_reachable(address)


def rows_without_names(data: bytes) -> Any:

    return parquet.read_table(io.BytesIO(data)).drop(["image"])


def find_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
