"""Do images with several labels train, resume, evaluate and predict as they should?"""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from test_distributed import sgd_config
from test_train import FULL, QUIET, same, stop_after

from conftest import tiny_config, write_images
from rapidnet.config import AugmentConfig, EvaluateConfig, ExportConfig, OptimizerConfig, PredictConfig, TrainConfig
from rapidnet.data.transforms import Preprocessing, seed_all
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.evaluate import run_evaluate
from rapidnet.evaluation.predict import run_predict
from rapidnet.evaluation.trained import load_trained
from rapidnet.export.export import run_export
from rapidnet.training.multilabel import MultiLabelTask
from rapidnet.training.train import run_train
from training.processes import train

PREPROCESSING = Preprocessing(32, 0.9, "bicubic", (0.5,) * 3, (0.5,) * 3)


def build(weights: np.ndarray | None = None, classes: int = 3, **options: float) -> MultiLabelTask:
    augment = AugmentConfig(**({"label_smoothing": 0.0} | options))
    return MultiLabelTask(classes, augment, PREPROCESSING, weights=weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_equals_a_loop(smoothing: float, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(4, 3)), rng.integers(0, 2, (4, 3))
    weights = np.array([[0.5, 1.0, 0.9], [5.0, 1.0, 2.0]])
    expected = 0.0
    for logit, target in zip(logits, targets, strict=True):
        for label in range(3):
            p = 1 / (1 + np.exp(-logit[label]))
            wanted = target[label] * (1 - smoothing) + smoothing / 2
            loss = -wanted * np.log(p) - (1 - wanted) * np.log(1 - p)
            expected += loss * (weights[target[label], label] if weighted else 1) / 12
    task = build(weights if weighted else None, label_smoothing=smoothing)
    measured = task.loss(torch.from_numpy(logits), torch.from_numpy(targets).double())
    assert measured.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_image_carries_the_labels_of_both_by_their_shares(kind: str) -> None:
    seed_all(0)
    images = torch.stack([torch.full((3, 32, 32), value, dtype=torch.uint8) for value in (255, 0)])
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    inputs, mixed = build(**{kind: 1.0, "label_smoothing": 0.3}).mix(PREPROCESSING.normalize(images), targets)
    assert mixed[:, 1:].tolist() == [[1, 0], [1, 0]], "smoothing is the loss's"
    assert 0 < float(mixed[0, 0]) < 1
    torch.testing.assert_close((inputs * 0.5 + 0.5).mean((1, 2, 3)), mixed[:, 0], atol=1e-3, rtol=0)


def test_unmixed_targets_stay_and_the_first_answer_counts() -> None:
    targets = torch.tensor([[1.0, 0.0, 1.0]] * 5)
    assert torch.equal(build(mixup=1.0).mix(torch.zeros(5, 3, 32, 32), targets)[1], targets)
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 4.0]])
    assert MultiLabelTask.count_correct(logits, torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 0]])) == 1


def write_scenes(root: Path, count: int = 64) -> Path:
    """pictures/<n>.png and labels.csv: a red, green or blue cast for each of three labels, in every combination."""
    write_images(root, {"pictures": count})
    rng = np.random.default_rng(0)
    lines = ["file,labels"]
    for n in range(count):
        own = [label for label in range(3) if n % 8 >> label & 1]
        pixels = rng.integers(0, 80, (40, 40, 3))
        pixels[..., own] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(root / "pictures" / f"{n}.png")
        lines.append(f"pictures/{n}.png,{'|'.join(['red', 'green', 'blue'][label] for label in own)}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def several_run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("several") / "run"
    settings = {"labels": str(scenes / "labels.csv"), "val_fraction": 0.3, "epochs": 8, "batch_size": 8}
    optimizer = OptimizerConfig(name="muon", lr=2e-2, warmup_epochs=0.5)
    assert run_train(tiny_config(scenes, run, **settings, optimizer=optimizer), QUIET) == 0
    return run


def test_a_run_is_judged_by_map_and_learns(several_run: Path) -> None:
    rows = read_rows(several_run / "metrics.jsonl")
    assert set(rows[0]) >= {"loss", "train_hit1", "val_map", "ema_map", "val_loss", "ema_loss"}
    best = max(max(row["val_map"], row["ema_map"]) for row in rows)
    metadata = load_trained(several_run).metadata
    assert metadata["task"] == "multilabel" and metadata["classes"] == ["blue", "green", "red"]
    assert metadata["progress"]["best_score"] == best
    chosen = rows[metadata["progress"]["best_epoch"] - 1]
    assert max(chosen["val_map"], chosen["ema_map"]) == best > 90, "guessing gives about 50"
    assert {"average_precision.png", "curves.png", "hub"} <= {path.name for path in several_run.iterdir()}


def test_evaluate_repeats_the_validation(several_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_evaluate(EvaluateConfig(str(several_run), json=True, output=str(tmp_path))) == 0
    row = json.loads(capsys.readouterr().out)
    rows = read_rows(several_run / "metrics.jsonl")
    assert row["map"] == pytest.approx(max(max(r["val_map"], r["ema_map"]) for r in rows), abs=1e-4)
    assert row["images"] == pytest.approx(19, abs=2)
    assert (tmp_path / "average_precision.png").is_file() and read_rows(tmp_path / "evaluation.jsonl")
    assert run_evaluate(EvaluateConfig(str(several_run), output=str(tmp_path))) == 0
    assert "mean average precision" in (shown := capsys.readouterr().out) and "blue" in shown


def test_evaluate_other_data(
    several_run: Path, scenes: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = {"json": True, "output": str(tmp_path)}
    run_evaluate(EvaluateConfig(str(several_run), str(scenes), str(scenes / "labels.csv"), **options))
    assert json.loads(capsys.readouterr().out)["images"] == 64
    with pytest.raises(UserError, match="give --data with --labels, or neither"):
        run_evaluate(EvaluateConfig(str(several_run), str(photos), **options))


def test_a_bundle_answers_as_the_run(several_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_export(ExportConfig(str(several_run), output=str(tmp_path))) == 0
    capsys.readouterr()
    rows = []
    for run in (several_run, tmp_path / "rapidnet_ti-onnx-fp32"):
        assert run_evaluate(EvaluateConfig(str(run), json=True, output=str(tmp_path / "out"))) == 0
        rows.append(json.loads(capsys.readouterr().out))
    for name in ("images", "map", "bce"):
        assert rows[0][name] == pytest.approx(rows[1][name], rel=1e-5)
    assert rows[0]["per_class"] == rows[1]["per_class"]


def test_predict_names_all_that_are_likely(
    several_run: Path, scenes: Path, finished_run: Path, capsys: pytest.CaptureFixture
) -> None:
    def predict(threshold: float) -> list[dict[str, float]]:
        config = PredictConfig(str(several_run), str(scenes / "pictures"), threshold=threshold, json=True)
        assert run_predict(config) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [{answer["class"]: answer["probability"] for answer in row["predictions"]} for row in rows]

    everything, likely = predict(0.0), predict(0.5)
    assert all(len(answers) == 3 for answers in everything)
    assert likely == [{name: p for name, p in answers.items() if p >= 0.5} for answers in everything]
    assert len({len(answers) for answers in likely}) > 1
    assert any(abs(sum(answers.values()) - 1) > 0.1 for answers in everything), "not one class out of several"
    run_predict(PredictConfig(str(several_run), str(scenes / "pictures" / "0.png"), threshold=1.0))
    assert "none" in capsys.readouterr().out
    with pytest.raises(UserError, match="--top has no effect"):
        run_predict(PredictConfig(str(several_run), str(scenes), top=2))
    with pytest.raises(UserError, match="--threshold has no effect"):
        run_predict(PredictConfig(str(finished_run), str(scenes), threshold=0.2))


def test_several_labels_resume_exactly(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**FULL, "labels": str(scenes / "labels.csv"), "balance": "loss", "accumulate": 2}
    run_train(tiny_config(scenes, tmp_path / "whole", **options), QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        assert run_train(tiny_config(scenes, tmp_path / "cut", **options), QUIET) == 130
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_two_processes_have_the_losses_of_one(scenes: Path, tmp_path: Path) -> None:
    rows = []
    for world in (1, 2):
        output = tmp_path / str(world)
        options = {"labels": str(scenes / "labels.csv"), "balance": "sampling", "val_fraction": 0.3}
        assert train(sgd_config(scenes, output, **options), world) == [0] * world
        rows.append(read_rows(output / "metrics.jsonl"))
    for one, two in zip(*rows, strict=True):
        for name in ("loss", "val_loss", "ema_loss", "val_map"):
            assert two[name] == pytest.approx(one[name], rel=1e-5), name
        assert two["train_hit1"] == one["train_hit1"]


def test_results_and_classes_without_positives(scenes: Path, tmp_path: Path) -> None:
    root = tmp_path / "scenes"
    shutil.copytree(scenes, root)
    lines = (root / "labels.csv").read_text().splitlines()[1:]
    # The last ones validate; only training images are grey.
    marked = [f"{line}{'|grey' if n in (1, 2) else ''},{'val' if n >= 28 else 'train'}" for n, line in enumerate(lines)]
    (root / "labels.csv").write_text("\n".join(["file,labels,split", *marked]) + "\n")
    console = Console(record=True, width=300, file=io.StringIO())
    settings = {"labels": str(root / "labels.csv"), "results": str(tmp_path / "rows.jsonl"), "epochs": 1}
    run_train(tiny_config(root, tmp_path / "run", **settings, optimizer=OptimizerConfig(warmup_epochs=0)), console)
    shown = console.export_text()
    assert "1 of 4 classes have no validation image and are left out: grey" in shown and "val mAP" in shown
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert row["without_positives"] == ["grey"] and row["labels"] == settings["labels"] and 0 <= row["map"] <= 100
