"""Does every network answer as it does without --output, from any place to any place?"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from bulk_commands import BAD, SRC, bulk, read_rows
from PIL import Image
from pyarrow import parquet
from small_bundles import CLASSES, write_bundle

from rapidnet.bulk.predict import run_predict
from rapidnet.config import PredictConfig
from rapidnet.data.object_masks import coco_mask
from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import open_bundle

pytest_plugins = ("bulk_fixtures",)


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
