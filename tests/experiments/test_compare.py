"""Does the compare command count what its runs answer, and refuse what cannot be compared?"""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from conftest import tiny_config, write_images
from rapidnet import cli
from rapidnet.environment import read_rows
from rapidnet.evaluation.evaluate_trained import open_data
from rapidnet.evaluation.trained import load_trained
from rapidnet.training.train import run_train


@pytest.fixture(scope="module")
def weak_run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hardly trained, on the same images as finished_run."""
    folder = tmp_path_factory.mktemp("weak") / "run"
    config = tiny_config(finished_run.parent / "photos", folder, epochs=1, steps=1, ema_decay=0.0)
    assert run_train(config, Console(quiet=True)) == 0
    return folder


def run(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["compare", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def count_right(folder: Path) -> np.ndarray:
    """Which images a run names right, one by one, by another way than the command's."""
    trained = load_trained(folder)
    dataset = open_data(trained, "")
    pairs = [dataset[0, index] for index in range(len(dataset))]
    found = [trained.model(trained.preprocessing.normalize(image[None])).argmax().item() for image, _ in pairs]
    return np.array([one == label for one, (_, label) in zip(found, pairs, strict=True)])


def test_two_runs(finished_run: Path, weak_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    code, out, _ = run(capsys, weak_run, finished_run, "--output", tmp_path / "out", "--json")
    assert code == 0
    row = json.loads(out)
    weak, good = count_right(weak_run), count_right(finished_run)
    assert row["wins"] == (good & ~weak).sum() > 0 and row["losses"] == (weak & ~good).sum()
    assert row["difference"] == pytest.approx(100 * (good.mean() - weak.mean()))
    assert row["other_result"]["top1"] == pytest.approx(100 * good.mean())
    (written,) = read_rows(tmp_path / "out" / "comparison.jsonl")
    assert written["environment"] and written["p"] == row["p"] == row["q"]
    assert (tmp_path / "out" / "disagreements.png").stat().st_size > 5000


def test_a_bundle_a_copy_and_the_tables(
    finished_run: Path, weak_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["export", str(finished_run), "--format", "torch", "--output", str(tmp_path / "bundles")]) == 0
    (bundle,) = (path.parent for path in (tmp_path / "bundles").rglob("card.json"))
    capsys.readouterr()
    output = tmp_path / "out"
    code, out, _ = run(capsys, finished_run, bundle, weak_run, "--output", output)
    assert code == 0 and "B against A: no difference can be told from chance" in out
    rows = read_rows(output / "comparison.jsonl")
    assert rows[0]["agreement"] == 100 > rows[1]["agreement"]
    assert rows[0]["q"] == 1 and rows[1]["p"] <= rows[1]["q"] <= 1
    # There is nothing to show of two that answer alike.
    assert [path.name for path in output.glob("*.png")] == ["disagreements_2.png"]
    assert all(
        len(line) <= 80 for line in out.splitlines() if not line.startswith(("A:", "B:", "C:", "by class", "9 "))
    )


def test_what_cannot_be_compared(
    finished_run: Path, weak_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert "at least two" in run(capsys, finished_run)[2]
    assert "named twice" in run(capsys, finished_run, finished_run)[2]
    other = write_images(tmp_path / "val", {"blue sky": 2, "green": 2, "red": 2})
    code, _, error = run(capsys, finished_run, weak_run, "--data", other, "--output", tmp_path / "out")
    assert code == 0, error
    assert read_rows(tmp_path / "out" / "comparison.jsonl")[0]["images"] == 6
    data = tmp_path / "more"
    for part in ("train", "val"):
        write_images(data / part, {"blue sky": 4, "green": 4, "red": 4})
    assert run_train(tiny_config(data, tmp_path / "run", epochs=1, steps=1), Console(quiet=True)) == 0
    assert "other images (12 and 9)" in run(capsys, finished_run, tmp_path / "run")[2]
