"""Does predict say what detectors and segmenters find, in lines, drawings and files that other tools read?"""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image
from pycocotools.coco import COCO

from evaluation.dense_folders import NUMBERS, SIDE, Oracle, build_oracle, write_folder
from evaluation.dense_runs import write_run
from rapidnet.config import DenseTask, PredictConfig
from rapidnet.data.coco import read_coco
from rapidnet.data.index_masks import read_mask
from rapidnet.errors import UserError
from rapidnet.evaluation import predict as command
from rapidnet.evaluation import predict_dense as module
from rapidnet.evaluation.predict import run_predict

# The reference was written for an older numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def predict(run: Path, images: Path | str, capsys: pytest.CaptureFixture, **options: Any) -> list[dict[str, Any]]:
    assert run_predict(PredictConfig(str(run), str(images), json=True, **options)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def prepare(task: DenseTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Oracle, Path]:
    """A bundle that knows the pictures of a folder."""
    root = write_folder(tmp_path / "data", task)
    bundle = build_oracle(root, task)
    monkeypatch.setattr(command, "open_bundle", lambda path: bundle)
    return bundle, root / "images" / "val" if task == "semantic" else root / "val"


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_objects_in_lines_and_as_a_coco_data_set(
    task: DenseTask, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, pictures = prepare(task, tmp_path, monkeypatch)
    rows = predict(bundle.path, pictures, capsys, save=str(tmp_path / "out"))
    paths = sorted(pictures.rglob("*.png"))
    assert [Path(row["image"]) for row in rows] == paths and rows[0]["width"] == rows[0]["height"] == SIDE
    count = 0
    for row, path in zip(rows, paths, strict=True):
        answer = bundle.answer(np.array(Image.open(path)))
        sure = answer["scores"] >= 0.5
        count += int(sure.sum())
        assert [found["class"] for found in row["detections"]] == [str(label) for label in answer["labels"][sure]]
        assert [found["box"] for found in row["detections"]] == answer["boxes"][sure].tolist()
        for found, mask in zip(row["detections"], answer["masks"][sure] if task == "instance" else [], strict=False):
            assert np.array_equal(coco_mask.decode(found["mask"]).astype(bool), mask)
    assert 0 < count < sum(len(known["labels"]) for known in bundle.known.values())
    for path in paths:
        with Image.open(tmp_path / "out" / path.relative_to(pictures)) as drawn:
            assert drawn.size == (480, 480)
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(tmp_path / "out" / "detections.json"))
    assert len(read.anns) == count and sorted(read.cats) == NUMBERS
    assert sorted(image["file_name"] for image in read.dataset["images"]) == [
        path.relative_to(pictures).as_posix() for path in paths
    ]
    assert all(0.5 <= row["score"] <= 1 and row["area"] > 0 for row in read.anns.values())
    # It can be trained on, for instance by a smaller network.
    split = read_coco([pictures], tmp_path / "out" / "detections.json", "train", with_shapes=task == "instance")
    assert not split.report.flaws and sum(len(record.objects or []) for record in split.records) == count


def test_lines_for_a_person(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, pictures = prepare("detect", tmp_path, monkeypatch)
    digits = {"boxes": np.zeros((4, 4)), "labels": np.array([3, 7, 3, 1]), "scores": np.array([0.6, 0.2, 0.912, 0.5])}
    for known in bundle.known:
        bundle.known[known] = digits
    one = pictures / "part0" / "0.png"
    for threshold, line in ((0.5, "2 3 (best 91.2%), 1 1 (50.0%)"), (0.95, "none")):
        assert run_predict(PredictConfig(str(bundle.path), str(one), threshold=threshold)) == 0
        assert capsys.readouterr().out == f"{one}  {line}\n"
    bundle, pictures = prepare("semantic", tmp_path / "other", monkeypatch)
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[:25, :], mask[99, 99:] = 4, 2
    for known in bundle.known:
        bundle.known[known] = {"semantic": mask}
    one = pictures / "part0" / "0.png"
    assert run_predict(PredictConfig(str(bundle.path), str(one))) == 0
    assert capsys.readouterr().out == f"{one}  background 75.0%, 3 25.0%\n", "a hundredth of a percent is not shown"
    (row,) = predict(bundle.path, one, capsys)
    assert [(found["class"], found["share"]) for found in row["classes"]] == [
        ("background", 0.7499), ("3", 0.25), ("1", 0.0001)
    ]  # fmt: skip


def test_masks_and_drawings(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, pictures = prepare("semantic", tmp_path, monkeypatch)
    predict(bundle.path, pictures, capsys, save=str(tmp_path / "out"))
    for path in pictures.rglob("*.png"):
        name = path.relative_to(pictures)
        mask = bundle.answer(np.array(Image.open(path)))["semantic"]
        assert np.array_equal(read_mask(tmp_path / "out" / "masks" / name), mask)
        with Image.open(tmp_path / "out" / name) as drawn:
            assert drawn.width >= 480 and drawn.height > 480, "a legend below"


@pytest.mark.parametrize("task", ["detect", "instance", "semantic"])
def test_runs_answer_and_batches_change_nothing(task: DenseTask, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = write_run(tmp_path / "run", task)
    pictures = write_folder(tmp_path / "data", task, 3)
    # Another size and shape: the answers are in pixels of the file.
    with Image.open(next(pictures.rglob("2.png"))) as image:
        image.resize((150, 90)).save(tmp_path / "data" / "z.png")
    options = {} if task == "semantic" else {"threshold": 0.05}
    first, second = (predict(run, f"{pictures}/**/[0-2z].png", capsys, batch_size=size, **options) for size in (1, 4))
    assert len(first) == len(second) > 3 and (first[-1]["width"], first[-1]["height"]) == (150, 90)
    for row, other in zip(first, second, strict=True):
        if task == "semantic":
            assert sum(found["share"] for found in row["classes"]) == pytest.approx(1, abs=1e-5)
            shares = [{found["class"]: found["share"] for found in side["classes"]} for side in (row, other)]
            assert shares[0] == pytest.approx(shares[1], abs=1e-3)
        else:
            found, again = ([one["score"] for one in side["detections"]] for side in (row, other))
            assert found == pytest.approx(again, abs=1e-4) and found
    if task != "semantic":
        edges = np.array([found["box"] for found in first[-1]["detections"]])
        assert edges[:, 2].max() > SIDE and edges.max(0)[2] <= 150 and edges.max(0)[3] <= 90


def test_bad_pictures_are_named_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, pictures = prepare("detect", tmp_path, monkeypatch)
    bad = pictures / "part1" / "3.png"
    bad.write_bytes(b"no image")
    rows = predict(bundle.path, pictures, capsys, save=str(tmp_path / "out"))
    assert [Path(row["image"]) for row in rows if "error" in row] == [bad] and len(rows) == 12
    saved = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(saved["images"]) == 11 and not (tmp_path / "out" / "part1" / "3.png").exists()
    with pytest.raises(UserError, match=r"part1/3\.png"):
        predict(bundle.path, pictures, capsys, bad_samples="error")
    with pytest.raises(UserError, match="none of the 1 images"):
        predict(bundle.path, bad, capsys, save=str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_detections_are_written_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, pictures = prepare("detect", tmp_path, monkeypatch)
    predict(bundle.path, pictures, capsys, save=str(tmp_path / "out"))
    before = (tmp_path / "out" / "detections.json").read_bytes()
    calls: list[int] = []

    def fail(*given: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*given, **options)

    real = module.write_png
    monkeypatch.setattr(module, "write_png", fail)
    with pytest.raises(KeyboardInterrupt):
        predict(bundle.path, pictures, capsys, threshold=0.0, save=str(tmp_path / "out"))
    assert (tmp_path / "out" / "detections.json").read_bytes() == before


def test_wrong_requests_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, pictures = prepare("semantic", tmp_path, monkeypatch)

    def refused(word: str, images: Path = pictures, **options: Any) -> None:
        with pytest.raises(UserError, match=word):
            predict(bundle.path, images, capsys, **options)

    refused("--threshold has no effect on .*, which names every pixel; leave it out", threshold=0.2)
    refused("--top has no effect", top=2)
    refused("--weights has no effect", weights="raw")
    refused("would overwrite", save=str(pictures))
    os.rename(pictures / "part1", pictures / "masks")
    for index, name in enumerate(("part0/0.png", "part0/masks/0.png")):
        (pictures / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (index, 0, 0)).save(pictures / name)
    refused("would overwrite", pictures / "part0", save=str(tmp_path / "out"))
    Image.new("RGB", (8, 8)).save(pictures / "part0" / "0.jpg")
    refused("would both be saved as", save=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    bundle, pictures = prepare("instance", tmp_path / "other", monkeypatch)
    refused("--top has no effect on .*, which finds objects; use --threshold", pictures, top=2)
