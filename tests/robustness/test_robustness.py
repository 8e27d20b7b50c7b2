"""Does the command measure runs and bundles on the same pictures, and refuse what it cannot?"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import write_images
from rapidnet.cli import main
from rapidnet.config import RobustnessConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.robustness import subjects
from rapidnet.robustness.corruptions import corrupt
from rapidnet.robustness.robustness import run_robustness
from rapidnet.robustness.subjects import open_subject


def robustness(capsys: pytest.CaptureFixture, *subjects: Path, **options: object) -> list[dict]:
    assert run_robustness(RobustnessConfig([str(s) for s in subjects], json=True, **options)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_run_beside_its_bundle(
    finished_run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = RobustnessConfig(
        [str(finished_run), str(exported)], kinds="fog,contrast,rotation", severities="1,5", against=str(finished_run),
        results=str(tmp_path / "rows.jsonl"), picture=str(tmp_path / "map.png"),
    )  # fmt: skip
    assert run_robustness(config) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines() if not line.startswith("wrote") and "/" not in line) <= 80
    assert "B against A" in shown and "relative mCE" in shown
    run, bundle = read_rows(tmp_path / "rows.jsonl")
    assert (run["kind"], bundle["kind"], bundle["format"]) == ("run", "bundle", "onnx")
    assert run["images"] == 9 and list(run["kinds"]) == ["fog", "contrast", "rotation"]
    assert bundle["against_first"]["clean"]["difference"] == 0
    assert bundle["against_first"]["corrupted"]["difference"] == 0, "the same network on the same pictures"
    assert bundle["clean"]["ece"] == pytest.approx(run["clean"]["ece"], abs=0.01)
    assert run["mce"]["over"] == 2, "rotation is none of ImageNet-C's"
    assert {100.0} <= set(run["mce"]["ce"].values()) <= {100.0, None}, "against itself, where it errs at all"
    with Image.open(tmp_path / "map.png") as picture:
        assert min(picture.size) > 200


def test_cells_are_the_networks_answers_to_corrupted_pictures(
    finished_run: Path, capsys: pytest.CaptureFixture
) -> None:
    """Counted by hand from the files, and with another seed of the noise the count may differ."""
    (row,) = robustness(capsys, finished_run, kinds="gaussian_noise", severities="5", seed=3)
    subject = open_subject(str(finished_run), "best")
    files = sorted(Path(subject.made_from["root"]).glob("val/*/*.png"))
    noisy = []
    for index, file in enumerate(files):
        with Image.open(file) as image:
            noisy.append(corrupt(subject.prepare(image.convert("RGB")), "gaussian_noise", 5, index, seed=3))
    answers = subject.predict(np.stack(noisy)).argmax(1)
    truth = [subject.classes.index(file.parent.name) for file in files]
    assert row["kinds"]["gaussian_noise"]["severities"]["5"]["top1"] == pytest.approx(100 * np.mean(answers == truth))


def test_fewer_images_keep_their_noise(finished_run: Path, capsys: pytest.CaptureFixture) -> None:
    (row,) = robustness(capsys, finished_run, kinds="none", check_images=3)
    assert row["images"] == 3 and row["kinds"] == {} and "corrupted" not in row
    assert robustness(capsys, finished_run, kinds="none", check_images=3) == [row]


def write_published(root: Path, size: int, kinds: tuple[str, ...] = ("fog", "snow"), files: int = 2) -> Path:
    for kind in kinds:
        for severity in "15":
            write_images(root / kind / severity, {"blue sky": files, "green": files, "red": files}, size)
    return root


def test_published_folders_are_read_as_they_are(
    finished_run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_published(tmp_path / "c", 32)
    rows = robustness(capsys, finished_run, exported, imagenet_c=str(folder), severities="1,5")
    assert list(rows[0]["kinds"]) == ["snow", "fog"] and rows[0]["clean"] is None and rows[0]["images"] == 6
    assert rows[0]["kinds"]["fog"]["severities"]["1"]["top1"] == 100
    Image.fromarray(np.zeros((33, 33, 3), np.uint8)).save(folder / "fog" / "5" / "red" / "1.png")
    with pytest.raises(UserError, match=r"red/1\.png is 33x33 pixels and .* takes 32x32"):
        robustness(capsys, finished_run, imagenet_c=str(folder), severities="1,5")


def test_a_published_folder_must_fit(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_published(tmp_path / "c", 32)
    for options, words in (
        ({"severities": "1,2"}, "fog/2|snow/2"), ({"kinds": "frost", "severities": "1"}, "no folder frost"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            robustness(capsys, finished_run, imagenet_c=str(folder), **options)
    (folder / "fog" / "5" / "red" / "1.png").unlink()
    with pytest.raises(UserError, match="does not hold the pictures"):
        robustness(capsys, finished_run, imagenet_c=str(folder), severities="1,5")
    (folder / "snow" / "1" / "red").rename(folder / "snow" / "1" / "n01440764")
    with pytest.raises(UserError, match=r"snow/1 holds 1 class folders .* 'n01440764'"):
        robustness(capsys, finished_run, imagenet_c=str(folder), severities="1,5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kinds", "fgo"], "kind 'fgo' is unknown (did you mean 'fog'?)"),
        (["--severities", "0"], "severities holds '0'"),
        (["--attacks", "cw"], "attack 'cw' is unknown"),
        (["--data", "absent"], "absent is not a folder"),
        (["--imagenet-c", "absent"], "absent holds no folder"),
    ],
)
def test_one_sentence(finished_run: Path, options: list[str], words: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["robustness", str(finished_run), *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["a", "b"]}, "b has other classes than a"),
        ({"view": {"image_size": 48}}, "b has image_size 48 and a"),
    ],
)
def test_only_those_that_see_the_same(
    change: dict, words: str, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(open_subject(str(finished_run), "best"), name="a")
    second = (
        replace(first, name="b", **change)
        if "classes" in change
        else replace(first, name="b", view=first.view | change["view"])
    )
    monkeypatch.setattr(subjects, "open_subject", lambda name, weights: {"a": first, "b": second}[name])
    assert subjects.open_subjects(["a", "a"], "best") == [first, first]
    with pytest.raises(UserError, match=words):
        subjects.open_subjects(["a", "b"], "best")


def test_other_tasks_are_refused(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapidnet.evaluation.subjects.is_dense", lambda name: True)
    with pytest.raises(UserError, match="for classification only"):
        run_robustness(RobustnessConfig([str(finished_run)]))


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_unreadable_pictures(policy: str, finished_run: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    (photos / "val" / "red" / "0.png").write_bytes(b"no picture")
    options = {"data": str(photos), "kinds": "contrast", "severities": "1", "bad_samples": policy}
    if policy == "error":
        with pytest.raises(UserError, match=r"red/0\.png is unreadable"):
            robustness(capsys, finished_run, **options)
    else:
        (row,) = robustness(capsys, finished_run, **options)
        assert (row["images"], row["bad_samples"]) == (8, 1)


def test_a_bundle_needs_no_torch(exported: Path, photos: Path) -> None:
    code = (
        "import sys; sys.argv = ['rapidnet']; from rapidnet.cli import main\n"
        f"code = main(['robustness', {str(exported)!r}, '--data', {str(photos)!r}, '--kinds', 'fog,snow'])\n"
        "assert not code and not {'torch', 'timm'} & set(sys.modules), 'a bundle is measured without torch'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
