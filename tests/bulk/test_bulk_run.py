"""Do answers reach Parquet whole, once, and the same however often the command is stopped?"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from small_bundles import CLASSES, write_bundle, write_pictures

from rapidnet import cli
from rapidnet.bulk.predict import run_predict
from rapidnet.config import PredictConfig
from rapidnet.data.object_masks import coco_mask
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import find_images
from rapidnet.runtimes.bundle import open_bundle

SRC = Path(__file__).parents[2] / "src"
BAD = (3, 17)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "small")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos", 25, bad=BAD)


def bulk(run: Path, images: Path | str, output: Path | str, **options: Any) -> None:
    settings = {"part_images": 10, "batch_size": 4} | options
    assert run_predict(PredictConfig(str(run), str(images), output=str(output), **settings)) == 0


def read_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_rows(folder: Path | str) -> list[dict[str, Any]]:
    return parquet.read_table(folder, page_checksum_verification=True).to_pylist()


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
    left = read_folder(output)
    assert {name: data for name, data in left.items() if not name.startswith(".")} == whole


def test_a_start_stopped_while_it_listed_is_begun_anew(
    classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk(classifier, pictures, tmp_path / "whole")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "_listing.parquet").write_bytes(b"half a list")
    (tmp_path / "out" / "._manifest.json.1.tmp").write_bytes(b"")
    bulk(classifier, pictures, tmp_path / "out")
    assert read_folder(tmp_path / "out") == read_folder(tmp_path / "whole") | {"._manifest.json.1.tmp": b""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 4}, r"was begun with --top 5, this command has 4"),
        ({"part_images": 11}, r"begun with --part-images 10, this command has 11"),
        ({"batch_size": 5}, r"begun with --batch-size 4"),
        ({"threads": 2}, r"begun with --threads 1"),
    ],
)
def test_answers_of_other_options_are_not_gone_on_with(
    options: dict[str, int], message: str, classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    bulk(classifier, pictures, tmp_path / "out")
    before = read_folder(tmp_path / "out")
    with pytest.raises(UserError, match=message):
        bulk(classifier, pictures, tmp_path / "out", **options)
    assert read_folder(tmp_path / "out") == before


def test_answers_of_another_network_or_other_pictures_are_not_gone_on_with(classifier: Path, tmp_path: Path) -> None:
    photos, output = write_pictures(tmp_path / "photos", 12), tmp_path / "out"
    bulk(classifier, photos, output)
    before = read_folder(output)
    other = write_bundle(tmp_path / "small", seed=1)
    with pytest.raises(UserError, match=r"begun with network small \(\w{12}\), this command has small \(\w{12}\)"):
        bulk(other, photos, output)
    with pytest.raises(UserError, match="begun with images"):
        bulk(classifier, photos / "a", output)
    (photos / "a" / "0000.jpg").rename(photos / "a" / "new.jpg")
    with pytest.raises(UserError, match=r"not those .* begun with \(12 now, 12 then\); finish those with --as-listed"):
        bulk(classifier, photos, output)
    assert read_folder(output) == before
    (output / "part-000000.parquet").unlink()
    bulk(classifier, photos, output, as_listed=True)
    errors = {row["image"]: row["error"] for row in read_rows(output)}
    assert errors.pop(f"{photos.as_posix()}/a/0000.jpg") == "missing: there is no such file"
    assert set(errors.values()) == {None} and len(errors) == 11
    (output / "_listing.parquet").write_bytes(before["_listing.parquet"] + b" ")
    with pytest.raises(UserError, match="not the one that these answers were begun with"):
        bulk(classifier, photos, output, as_listed=True)
    (output / "_manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"_manifest\.json is damaged"):
        bulk(classifier, photos, output)


def test_an_output_of_something_else_is_left_alone(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds thesis\.txt and no _manifest\.json"):
        bulk(classifier, pictures, tmp_path)
    with pytest.raises(UserError, match="nothing begun"):
        bulk(classifier, pictures, tmp_path / "new", as_listed=True)
    with pytest.raises(UserError, match="wildcard"):
        bulk(classifier, pictures, tmp_path / "*")
    with pytest.raises(UserError, match="no image at"):
        bulk(classifier, tmp_path, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]


def test_unreadable_pictures_stop_it_where_that_is_asked(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"00(03|17)\.jpg is unreadable"):
        bulk(classifier, pictures, tmp_path / "out", bad_samples="error", part_images=5)
    made = {path.name for path in (tmp_path / "out").glob("part-*")}
    assert 0 < len(made) < 5 and not (tmp_path / "out" / "_finished.json").exists()
    # The policy decides when to stop, not what is answered: the other one goes on from there.
    bulk(classifier, pictures, tmp_path / "out", part_images=5)
    assert len(read_rows(tmp_path / "out")) == 25
    bad = write_pictures(tmp_path / "bad", 2, bad=(0, 1))
    with pytest.raises(UserError, match="none of the 2 images"):
        bulk(classifier, bad, tmp_path / "all bad")
    assert [row["error"] is None for row in read_rows(tmp_path / "all bad")] == [False, False]


@pytest.fixture
def memory() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


def test_from_a_url_to_a_url(
    classifier: Path, pictures: Path, tmp_path: Path, memory: Any, capsys: pytest.CaptureFixture
) -> None:
    memory.put(str(pictures), "/photos", recursive=True)
    bulk(classifier, "memory://photos/", "memory://answers")
    bulk(classifier, pictures, tmp_path / "out")
    for index in range(3):
        stored = parquet.read_table(memory.open(f"/answers/part-00000{index}.parquet"))
        here = parquet.read_table(tmp_path / "out" / f"part-00000{index}.parquet")
        assert stored.drop(["image"]) == here.drop(["image"])
        names = [name.replace(pictures.as_posix(), "memory://photos") for name in here["image"].to_pylist()]
        assert stored["image"].to_pylist() == names
    # Without --output, the pictures of a URL are answered as those of a folder.
    capsys.readouterr()
    printed = []
    for where in ("memory://photos", str(pictures)):
        assert run_predict(PredictConfig(str(classifier), where, json=True)) == 0
        printed.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    for stored_line, line in zip(*printed, strict=True):
        assert stored_line.get("predictions") == line.get("predictions")
        assert ("error" in stored_line) == ("error" in line)
    with pytest.raises(UserError, match="--save draws"):
        run_predict(PredictConfig(str(classifier), "memory://photos", save=str(tmp_path / "drawn")))
    with pytest.raises(UserError, match="no image at 'memory://nothing'"):
        run_predict(PredictConfig(str(classifier), "memory://nothing"))


@pytest.mark.parametrize("task", ["multilabel", "detect", "instance", "semantic"])
def test_answers_of_every_task(task: str, pictures: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / task, task)
    options = {} if task == "semantic" else {"threshold": 0.3}
    bulk(bundle, pictures / "a", tmp_path / "out", part_images=5, **options)
    opened = open_bundle(bundle, threads=1)
    rows = read_rows(tmp_path / "out")
    assert len(rows) == 13
    found = 0
    for row in rows:
        path = Path(row["image"])
        if int(path.stem) in BAD:
            assert row["error"] and all(value is None for name, value in row.items() if name not in ("image", "error"))
            continue
        if task == "multilabel":
            shares = opened.predict(opened.prepare(path)[None])[0]
            assert row["classes"] == [CLASSES[i] for i in np.argsort(-shares, kind="stable") if shares[i] >= 0.3]
            found += len(row["classes"])
            continue
        answer = opened.answer(path)
        if task == "semantic":
            assert answer["semantic"].shape == (row["height"], row["width"])
            mask = np.asarray(Image.open(io.BytesIO(row["class_map"])))
            assert (mask == answer["semantic"]).all()
            shares = dict(zip(row["classes"], row["shares"], strict=True))
            assert shares == {
                name: float((mask == i).mean()) for i, name in enumerate(CLASSES) if (mask == i).any()
            } and sum(shares.values()) == pytest.approx(1)
            found += len(shares)
            continue
        sure = answer["scores"] >= 0.3
        order = np.argsort(-answer["scores"][sure], kind="stable")
        assert row["boxes"] == answer["boxes"][sure][order].tolist()
        assert row["classes"] == [CLASSES[label] for label in answer["labels"][sure][order]]
        assert row["scores"] == answer["scores"][sure][order].tolist()
        if task == "instance":
            size = [row["height"], row["width"]]
            masks = [coco_mask.decode({"size": size, "counts": counts.encode()}) for counts in row["masks"]]
            assert all((mask == truth).all() for mask, truth in zip(masks, answer["masks"][sure][order], strict=True))
        found += len(row["scores"])
    assert found > 12


def test_a_trained_run_answers_too(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    bulk(finished_run, photos / "val", tmp_path / "out")
    rows = read_rows(tmp_path / "out")
    assert len(rows) == 9 and {row["error"] for row in rows} == {None}
    footer = parquet.read_metadata(tmp_path / "out" / "part-000000.parquet").metadata
    assert footer[b"rapidnet.runtime"].startswith(b"torch ")
    with pytest.raises(UserError, match="--threshold has no effect"):
        bulk(finished_run, photos / "val", tmp_path / "other", threshold=0.1)


def test_a_bundle_needs_no_torch(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('there is no torch here')")
    command = [sys.executable, "-m", "rapidnet", "predict", str(classifier), str(pictures), "--output", "out"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SRC)])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(read_rows(tmp_path / "out")) == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "ray"}, "--engine ray writes its answers as Parquet; say where"),
        ({"part_images": 10}, "--part-images has no effect without --output FOLDER"),
        ({"threads": 2}, "--threads has no effect without --output FOLDER"),
        ({"as_listed": True}, "--as-listed has no effect without --output FOLDER"),
        ({"output": "o", "ray_workers": 2}, "--ray-workers has no effect without --engine ray"),
        ({"output": "o", "ray_address": "auto"}, "--ray-address has no effect without --engine ray"),
        ({"output": "o", "save": "s"}, "--save has no effect beside --output"),
        ({"output": "o", "threads": 0}, "threads is 0"),
        ({"output": "o", "part_images": -1}, "part_images is -1"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PredictConfig("run", "images", **options)


def test_what_is_not_installed_is_named(
    classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = ["predict", str(classifier), str(pictures), "--output", str(tmp_path / "out")]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main([*command, "--engine", "ray"]) == 2
    assert "--engine ray needs Ray; install it with pip install 'rapidnet[ray]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(command) == 2
    assert "pip install 'rapidnet[ray]'" in capsys.readouterr().err
