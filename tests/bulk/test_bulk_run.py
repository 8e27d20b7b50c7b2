"""Do answers reach Parquet whole, once, and the same however often the command is stopped?"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk_commands import BAD, SRC, bulk, read_folder, read_rows
from pyarrow import parquet
from small_bundles import write_pictures

from rapidnet.bulk.predict import run_predict
from rapidnet.config import PredictConfig
from rapidnet.evaluation.predict import find_images
from rapidnet.runtimes.bundle import open_bundle

pytest_plugins = ("bulk_fixtures",)


def test_rows_are_what_predict_prints(
    classifier: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bulk(classifier, pictures, tmp_path / "out", top=3)
    assert run_predict(PredictConfig(str(classifier), str(pictures), top=3, batch_size=4, json=True)) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rows = read_rows(tmp_path / "out")
    assert len(rows) == len(printed) == 25
    for row, line in zip(rows, printed, strict=True):
        assert row["image"] == line["image"]
        if "error" in line:
            assert row["error"] in line["error"] and row["classes"] is None and row["top1"] is None
            continue
        assert row["error"] is None
        assert row["classes"] == [answer["class"] for answer in line["predictions"]]
        assert [round(p, 6) for p in row["probabilities"]] == [answer["probability"] for answer in line["predictions"]]
        assert (row["top1"], row["top1_probability"]) == (row["classes"][0], row["probabilities"][0])
    errors = {int(Path(row["image"]).stem): row["error"] for row in rows if row["error"]}
    assert errors == dict.fromkeys(BAD, "unreadable: it is in no image format known here")
    assert json.loads((tmp_path / "out" / "_finished.json").read_text()) == {
        "pictures": 25, "unreadable": 2, "parts": 3,
    }  # fmt: skip
    # The probabilities are the network's own, to the last bit.
    opened = open_bundle(classifier, threads=1)
    first = find_images(str(pictures))[:4]
    answers = opened.predict(np.stack([opened.prepare(path) for path in first if int(path.stem) not in BAD]))
    assert rows[0]["top1_probability"] == float(answers[0].max())


def test_a_restart_makes_only_what_is_missing(
    classifier: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out"
    bulk(classifier, pictures, output, json=True)
    undisturbed = read_folder(output)
    assert json.loads(capsys.readouterr().out)["parts_skipped"] == 0
    old = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    (output / "part-000001.parquet").unlink()
    bulk(classifier, pictures, output, json=True)
    summary = json.loads(capsys.readouterr().out)
    assert summary.pop("seconds") > 0
    assert summary == {"output": str(output), "pictures": 25, "unreadable": 2, "parts": 3, "parts_skipped": 2}
    assert read_folder(output) == undisturbed
    new = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    assert [name for name in old if old[name] != new[name]] == ["part-000001.parquet"]


def cut(data: bytes, other: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_footer(data: bytes, other: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 0xFF]) + data[-7:]


def take_other(data: bytes, other: bytes) -> bytes:
    return other


def take_nothing(data: bytes, other: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut, cut_footer, take_other, take_nothing])
def test_a_part_that_is_none_is_made_again(
    damage: Any, classifier: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Cut short, with another footer, another part's or of another job under its name."""
    output, foreign = tmp_path / "out", tmp_path / "foreign"
    bulk(classifier, pictures, output)
    bulk(classifier, pictures, foreign, top=2)
    undisturbed = read_folder(output)
    for name, other in (
        ("part-000000.parquet", undisturbed["part-000001.parquet"]),
        ("part-000002.parquet", (foreign / "part-000002.parquet").read_bytes()),
    ):
        (output / name).write_bytes(damage(undisturbed[name], other))
        assert read_folder(output) != undisturbed
        capsys.readouterr()
        bulk(classifier, pictures, output, json=True)
        assert json.loads(capsys.readouterr().out)["parts_skipped"] == 2
        assert read_folder(output) == undisturbed


def test_a_flipped_bit_is_noticed_by_who_reads_the_page(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    bulk(classifier, pictures, tmp_path / "out")
    path = tmp_path / "out" / "part-000001.parquet"
    names = parquet.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[(names.dictionary_page_offset + names.data_page_offset) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="CRC"):
        read_rows(tmp_path / "out")


def test_killed_at_any_moment_it_ends_with_the_same_files(classifier: Path, tmp_path: Path) -> None:
    photos = write_pictures(tmp_path / "many", 600, bad=(5, 300))
    command = [sys.executable, "-m", "rapidnet", "predict", str(classifier), str(photos), "--part-images", "20"]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    bulk(classifier, photos, tmp_path / "whole", part_images=20, batch_size=0)
    whole = read_folder(tmp_path / "whole")
    output = tmp_path / "killed"
    kills = []
    for least in (1, 8, 15):
        process = subprocess.Popen([*command, "--output", str(output)], env=environment, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while len(list(output.glob("part-*"))) < least and time.monotonic() < deadline:
                assert process.poll() is None, "it ended before it was killed"
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        kills.append(sorted(path.name for path in output.glob("part-*")))
        assert process.returncode == -signal.SIGKILL and least <= len(kills[-1]) < 30
        # Whatever has a part's name is that part, whole.
        assert all((output / name).read_bytes() == whole[name] for name in kills[-1])
    before = {name: (output / name).stat().st_mtime_ns for name in kills[-1]}
    bulk(classifier, photos, output, part_images=20, batch_size=0)
    assert {name: (output / name).stat().st_mtime_ns for name in kills[-1]} == before
    assert read_folder(output) == whole


def test_a_start_stopped_while_it_listed_is_begun_anew(
    classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk(classifier, pictures, tmp_path / "whole")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_listing.parquet").write_bytes(b"half a list")
    (tmp_path / "out" / "._manifest.json.1.tmp").write_bytes(b"")
    bulk(classifier, pictures, tmp_path / "out")
    assert read_folder(tmp_path / "out") == read_folder(tmp_path / "whole")
