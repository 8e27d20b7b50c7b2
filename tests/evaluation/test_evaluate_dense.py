"""Does evaluate measure detectors and segmenters, trained and exported, and write what other tools read?"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.dense_folders import NUMBERS, SIDE, build_oracle, write_folder
from evaluation.dense_runs import write_run
from rapidnet.config import DenseTask, EvaluateConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_loading import DenseDataset, collate_objects
from rapidnet.data.index_masks import read_mask
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation import evaluate as command
from rapidnet.evaluation.dense import build_dense_predict, measure_dense
from rapidnet.evaluation.evaluate import run_evaluate
from rapidnet.evaluation.measures import MEASURES
from rapidnet.evaluation.trained_dense import load_trained_dense

# The reference was written for an older numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TASKS: tuple[DenseTask, ...] = ("detect", "instance", "semantic")


def evaluate(run: Path, out: Path, capsys: pytest.CaptureFixture, **options: Any) -> dict[str, Any]:
    assert run_evaluate(EvaluateConfig(str(run), json=True, output=str(out), **options)) == 0
    row: dict[str, Any] = json.loads(capsys.readouterr().out)
    return row


def shake(answer: dict[str, Any], index: int) -> dict[str, Any]:
    """An answer that is wrong in some places: masks and boxes off by some pixels, some labels of another class."""
    rng = np.random.default_rng(index)
    if "semantic" in answer:
        return {"semantic": np.roll(answer["semantic"], 2, axis=1)}
    count, shift = len(answer["labels"]), int(rng.integers(0, 2))
    labels = np.where(rng.random(count) < 0.9, answer["labels"], rng.integers(0, 10, count))
    shaken = {**answer, "boxes": (answer["boxes"] + shift).clip(0, SIDE), "labels": labels}
    return shaken | ({"masks": np.roll(answer["masks"], shift, (1, 2))} if "masks" in answer else {})


def use(monkeypatch: pytest.MonkeyPatch, bundle: Any) -> Path:
    monkeypatch.setattr(command, "open_bundle", lambda path: bundle)
    path: Path = bundle.path
    return path


@pytest.mark.parametrize("task", TASKS)
def test_what_was_trained_is_measured_as_training_does(
    task: DenseTask, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = write_run(tmp_path / "run", task)
    assert run_evaluate(EvaluateConfig(str(run), predictions=True, batch_size=1)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    (row,) = read_rows(run / "evaluation" / "evaluation.jsonl")
    trained = load_trained_dense(run)
    facts = {"task": task, "head": trained.network.head, "model": "rapidnet_ti", "data": "builtin", "weights": "raw"}
    facts |= {"folded": False, "short_side": SIDE, "bad_samples": 0}
    assert {key: row[key] for key in facts} == facts
    assert row["checkpoint"].endswith("best.safetensors") and row["runtime"].startswith("torch")
    for name, size in (("examples.png", 600), *((name, 300) for name, _ in MEASURES[task].pictures)):
        assert name in shown
        with Image.open(run / "evaluation" / name) as image:
            assert min(image.size) > size
    found = ["masks"] if task == "semantic" else ["detections.json"]
    assert (run / "evaluation" / found[0]).exists() and found[0] in shown
    source = BuiltinObjects("val", 4, SIDE, task)
    dataset = DenseDataset(source, trained.preprocessing.transform, 0)
    meter = MEASURES[task].build_meter(trained.classes)
    batches = [collate_objects([((0, index), dataset[0, index])]) for index in range(4)]
    predict = build_dense_predict(trained.model, trained.preprocessing)
    measure_dense(predict, batches, meter, BadSampleLog("error", None))
    expected = meter.compute()
    assert {key: row[key] for key in expected} == expected
    answer = predict([dataset[0, 2][0]], [(SIDE, SIDE)])[0]
    if task == "semantic":
        assert np.array_equal(read_mask(run / "evaluation" / "masks" / "000002.png"), answer["semantic"].numpy())
        assert len(np.unique(answer["semantic"])) > 1
    else:
        rows = json.loads((run / "evaluation" / "detections.json").read_text())
        written = [one for one in rows if one["image_id"] == 2]
        assert [one["category_id"] - 1 for one in written] == answer["labels"].tolist() != []
        assert [one["score"] for one in written] == pytest.approx(answer["scores"].tolist(), abs=1e-5)
    folded = evaluate(run, tmp_path / "folded", capsys, fold=True)
    score = MEASURES[task].score
    assert folded["folded"] is True and folded[score] == pytest.approx(row[score], abs=0.01)
    assert not (tmp_path / "folded" / found[0]).exists()


@pytest.mark.parametrize("task", TASKS)
def test_a_bundle_that_knows_the_truth_has_full_marks(
    task: DenseTask, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "data", task)
    bundle = use(monkeypatch, build_oracle(root, task))
    row = evaluate(bundle, tmp_path / "out", capsys)
    score = MEASURES[task].score
    assert row[score] == pytest.approx(100) and row["images"] == 12
    assert (row["folded"], row["runtime"], row["weights"]) == (True, "an oracle 1.0", "ema")
    assert row["checkpoint"] == str(bundle / "model.onnx") and sorted(os.listdir(bundle)) == ["card.json"]
    use(monkeypatch, build_oracle(root, task, shake))
    assert evaluate(bundle, tmp_path / "out", capsys, data=str(root))[score] < 95
    for option in ({"fold": True}, {"weights": "raw"}):
        with pytest.raises(UserError, match="settled on export"):
            evaluate(bundle, tmp_path / "out", capsys, **option)


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_detections_are_measured_alike_by_coco_tools(
    task: DenseTask, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "data", task)
    bundle = use(monkeypatch, build_oracle(root, task, shake))
    row = evaluate(bundle, tmp_path / "out", capsys, predictions=True)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(root / "annotations" / "instances_val.json"))
        found = truth.loadRes(str(tmp_path / "out" / "detections.json"))
        for kind, name in {"bbox": "box_ap", "segm": "mask_ap"}.items():
            if task == "detect" and kind == "segm":
                continue
            judged = COCOeval(truth, found, kind)
            judged.evaluate()
            judged.accumulate()
            judged.summarize()
            assert 0.2 < judged.stats[0] < 0.95
            assert row[name] == pytest.approx(100 * judged.stats[0], abs=1e-3)
    assert {row["category_id"] for row in found.dataset["annotations"]} <= set(NUMBERS)


def test_masks_are_named_like_the_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "data", "semantic")
    use(monkeypatch, build_oracle(root, "semantic"))
    evaluate(root.parent / "data-semantic-bundle", tmp_path / "out", capsys, predictions=True)
    masks = sorted(path.relative_to(root / "masks" / "val") for path in (root / "masks" / "val").rglob("*.png"))
    assert sorted(path.relative_to(tmp_path / "out" / "masks") for path in tmp_path.glob("out/masks/*/*.png")) == masks
    for name in masks:
        assert np.array_equal(read_mask(tmp_path / "out" / "masks" / name), read_mask(root / "masks" / "val" / name))


def test_unusable_pictures_follow_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "data", "detect")
    bundle = use(monkeypatch, build_oracle(root, "detect"))
    # Its header is whole, so that only reading it tells.
    broken = root / "val" / "part1" / "5.png"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UserError, match=r"part1/5\.png"):
        evaluate(bundle, tmp_path / "out", capsys)
    row = evaluate(bundle, tmp_path / "out", capsys, bad_samples="quarantine", predictions=True)
    assert (row["images"], row["bad_samples"]) == (11, 1)
    assert (tmp_path / "out" / "quarantine.txt").read_text() == f"{broken}\n"


def test_wrong_requests_are_one_sentence(finished_run: Path, tmp_path: Path, photos: Path) -> None:
    run = write_run(tmp_path / "run", "detect")

    def refused(word: str, path: Path, **options: Any) -> None:
        with pytest.raises(UserError, match=word):
            run_evaluate(EvaluateConfig(str(path), output=str(tmp_path / "out"), **options))

    refused("--labels x.csv has no effect on .* --task detect", run, labels="x.csv")
    refused("--predictions has no effect on", finished_run, predictions=True)
    refused("holds neither COCO nor YOLO", run, data=str(photos))
    refused("not a folder", run, data=str(tmp_path / "absent"))
    with pytest.raises(UserError, match="batch_size is -1"):
        EvaluateConfig(str(run), batch_size=-1)


def test_bundles_need_no_torch(tmp_path: Path) -> None:
    code = f"""
import sys; sys.argv[0] = "rapidnet"; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from evaluation.dense_folders import build_oracle, write_folder
from rapidnet.config import EvaluateConfig, PredictConfig
from rapidnet.evaluation import evaluate, predict
for task in ("instance", "semantic"):
    root = write_folder(Path({str(tmp_path)!r}) / task, task, 3)
    bundle = build_oracle(root, task)
    evaluate.open_bundle = predict.open_bundle = lambda path: bundle
    for data in ("", str(root)):
        assert evaluate.run_evaluate(EvaluateConfig(str(bundle.path), data, json=True, predictions=True)) == 0
    pictures = root / ("images/val" if task == "semantic" else "val")
    assert predict.run_predict(PredictConfig(str(bundle.path), str(pictures), save=str(root / "saved"))) == 0
assert not {{"torch", "torchvision", "timm"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
