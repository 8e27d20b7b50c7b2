"""Does evaluate measure what it says: the right images, weights and form, with a row and pictures?"""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from conftest import tiny_config
from rapidnet.config import EvaluateConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.evaluate import run_evaluate
from rapidnet.training.train import run_train


def evaluate(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture, **options: object) -> dict:
    assert run_evaluate(EvaluateConfig(str(run), json=True, output=str(tmp_path / "out"), **options)) == 0
    return json.loads(capsys.readouterr().out)


def test_row_and_pictures(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_evaluate(EvaluateConfig(str(finished_run), output=str(tmp_path))) == 0
    assert "top-1" in (shown := capsys.readouterr().out)
    assert "blue sky" in shown
    (row,) = read_rows(tmp_path / "evaluation.jsonl")
    assert row["images"] == 9
    assert row["top5"] is None, "with three classes it says nothing"
    assert sum(map(sum, row["confusion"])) == 9
    assert row["environment"]["packages"]["torch"]
    for name in ("confusion.png", "reliability.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 300


def test_equals_what_training_measured(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = read_rows(finished_run / "metrics.jsonl")
    best = max(rows, key=lambda row: max(row["val_top1"], row["ema_top1"]))
    for weights, key in (("raw", "val_top1"), ("ema", "ema_top1")):
        row = evaluate(finished_run, tmp_path, capsys, weights=weights)
        assert row["weights"] == weights
        assert row["top1"] == pytest.approx(best[key])
    chosen = evaluate(finished_run, tmp_path, capsys)
    assert chosen["top1"] == pytest.approx(max(best["val_top1"], best["ema_top1"]))


def test_folded_gives_the_same_answers(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plain, folded = (evaluate(finished_run, tmp_path, capsys, fold=fold) for fold in (False, True))
    assert folded["folded"] is True
    assert plain["confusion"] == folded["confusion"]
    assert folded["nll"] == pytest.approx(plain["nll"], rel=1e-5)


def test_other_data_and_a_checkpoint_file(
    finished_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.rmtree(photos / "val" / "red")
    row = evaluate(finished_run / "last.safetensors", tmp_path, capsys, data=str(photos))
    assert row["images"] == 6
    row = evaluate(finished_run, tmp_path, capsys, data=str(photos / "train"))
    assert row["images"] == 24


def test_held_out_images_are_those_of_the_run(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = tiny_config(photos / "train", tmp_path / "run", val_fraction=0.25, seed=3)
    run_train(config, Console(quiet=True))
    assert evaluate(tmp_path / "run", tmp_path, capsys)["images"] == 6


def test_unreadable_images_follow_the_policy(
    finished_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (photos / "val" / "red" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"red/0\.png is unreadable"):
        evaluate(finished_run, tmp_path, capsys, data=str(photos))
    row = evaluate(finished_run, tmp_path, capsys, data=str(photos), bad_samples="quarantine")
    assert (row["images"], row["bad_samples"]) == (8, 1)
    assert (tmp_path / "out" / "quarantine.txt").read_text().endswith("red/0.png\n")


def test_wrong_requests_are_one_sentence(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    def refused(word: str, run: Path, data: Path | str = "") -> None:
        with pytest.raises(UserError, match=word):
            run_evaluate(EvaluateConfig(str(run), str(data), output=str(tmp_path / "out")))

    refused("absent", tmp_path / "absent.safetensors")
    refused("not a run folder", tmp_path)
    refused("not a folder", finished_run, tmp_path / "absent")
    refused("built-in digits", finished_run, "builtin")
    (photos / "val" / "red").rename(photos / "val" / "crimson")
    refused("crimson", finished_run, photos)
