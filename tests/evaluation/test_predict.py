"""Are pictures named by class, in order, from a file, a folder or a pattern, with bad ones passed over?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rapidnet.config import PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import run_predict


def predict(run: Path, images: Path | str, capsys: pytest.CaptureFixture, **options: object) -> list[dict]:
    assert run_predict(PredictConfig(str(run), str(images), json=True, **options)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_a_folder_and_a_pattern(finished_run: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    (one,) = predict(finished_run, photos / "val" / "red" / "0.png", capsys, top=2)
    assert [set(answer) for answer in one["predictions"]] == [{"class", "probability"}] * 2
    assert {answer["class"] for answer in one["predictions"]} <= {"blue sky", "green", "red"}
    folder = predict(finished_run, photos, capsys, batch_size=5)
    assert [Path(row["image"]) for row in folder] == sorted(photos.rglob("*.png"))
    assert len(predict(finished_run, f"{photos}/*/red/*.png", capsys)) == 11
    for row in folder:
        assert sum(answer["probability"] for answer in row["predictions"]) == pytest.approx(1, abs=1e-5)


def test_batches_do_not_change_answers(finished_run: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    first, second = (predict(finished_run, photos, capsys, batch_size=size) for size in (1, 64))
    for a, b in zip(first, second, strict=True):
        assert a["predictions"][0]["class"] == b["predictions"][0]["class"]
        assert a["predictions"][0]["probability"] == pytest.approx(b["predictions"][0]["probability"], abs=1e-4)


def test_a_trained_network_names_what_it_was_trained_on(
    finished_run: Path, photos: Path, capsys: pytest.CaptureFixture
) -> None:
    rows = predict(finished_run, photos / "train", capsys)
    right = sum(row["predictions"][0]["class"] == Path(row["image"]).parent.name for row in rows)
    assert right > 12


def test_bad_images_are_named_and_passed_over(finished_run: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    bad = photos / "val" / "red" / "0.png"
    bad.write_bytes(b"no image")
    rows = predict(finished_run, photos / "val", capsys, batch_size=2)
    assert [Path(row["image"]) for row in rows if "error" in row] == [bad]
    assert len(rows) == 9
    with pytest.raises(UserError, match=r"red/0\.png"):
        run_predict(PredictConfig(str(finished_run), str(photos / "val"), bad_samples="error"))
    with pytest.raises(UserError, match="none of the 1 images"):
        run_predict(PredictConfig(str(finished_run), str(bad)))


def test_saved_pictures_keep_their_places(
    finished_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    predict(finished_run, photos / "val", capsys, save=str(tmp_path / "out"))
    saved = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png"))
    assert saved == sorted(path.relative_to(photos / "val") for path in (photos / "val").rglob("*.png"))
    with Image.open(tmp_path / "out" / saved[0]) as image:
        assert image.width >= 320, "legible"
    with pytest.raises(UserError, match="would overwrite"):
        run_predict(PredictConfig(str(finished_run), str(photos / "val"), save=str(photos / "val")))


def test_text_output_and_nothing_found(
    finished_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_predict(PredictConfig(str(finished_run), str(photos / "val" / "red" / "0.png"))) == 0
    assert "%" in capsys.readouterr().out
    with pytest.raises(UserError, match="no image"):
        run_predict(PredictConfig(str(finished_run), str(tmp_path / "nothing")))


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_lines_reach_a_file_while_the_bar_is_at_the_terminal(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    import pty

    reader, terminal = pty.openpty()
    command = [sys.executable, "-m", "rapidnet", "predict", str(finished_run), str(photos / "val"), "--json"]
    with (tmp_path / "out.jsonl").open("w") as out:
        done = subprocess.run(command, stdout=out, stderr=terminal, timeout=100, check=False)
    os.close(terminal)
    os.close(reader)
    assert done.returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 9
