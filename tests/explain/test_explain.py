"""Does the command explain runs and bundles side by side, and refuse what it cannot?"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rapidnet.cli import main
from rapidnet.config import ExplainConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.explain.explain import run_explain
from rapidnet.explain.subjects import open_subject, split_words


def explain(capsys: pytest.CaptureFixture, *words: Path, **options: object) -> list[dict]:
    assert run_explain(ExplainConfig([str(word) for word in words], json=True, **options)) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_run_beside_its_bundle(
    finished_run: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config = ExplainConfig(
        [str(finished_run), str(exported)], map_images=3, stage=3, output=str(tmp_path / "out"),
        results=str(tmp_path / "rows.jsonl"),
    )  # fmt: skip
    capsys.readouterr()
    assert run_explain(config) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if len(line) > 80 and "/" not in line and " beside " not in line] == []
    assert "…" not in shown, "no cell is cut off"
    run, bundle = read_rows(tmp_path / "rows.jsonl")
    assert (run["kind"], bundle["kind"], bundle["format"]) == ("run", "bundle", "onnx")
    stages = run["fields"]["trained"]
    assert [stage["theory"] for stage in stages] == [15, 39, 87, 759] and run["fields"]["images"] == 9
    assert stages[0]["sides"]["99"] <= 15 and len(run["fields"]["fresh"]) == 4
    assert [line["dilation"] for line in run["branches"]["blocks"][0]["branches"]] == [2, 3]
    assert "fields" not in bundle and "branches" not in bundle
    assert list(run["maps"]["areas"]) == ["centre", "gradcam", "occlusion"]
    assert list(bundle["maps"]["areas"]) == ["centre", "occlusion"] and "randomised" not in bundle["maps"]
    assert run["maps"]["flat"]["gradcam"] < 3 and run["maps"]["images"] == 3 and run["maps"]["stage"] == 3
    assert bundle["maps"]["against_first"]["occlusion"]["mean"] > 0.99, "the same network"
    for name in ("fields.png", "maps.png", "branches.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 200


def test_named_images_and_class(
    finished_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = {"maps": "occlusion,rise", "masks": 20, "parts": "maps", "output": str(tmp_path / "out")}
    (row,) = explain(capsys, finished_run, photos / "val", class_name="green", **options)
    assert row["maps"]["images"] == 9 and row["maps"]["class"] == "green" and "fields" not in row
    subject = open_subject(str(finished_run), "best")
    (file,) = (photos / "val" / "red").glob("1.png")
    probability = subject.predictor.predict(subject.predictor.prepare(file)[None])[0, subject.classes.index("green")]
    line = row["maps"]["pictures"][7]
    assert line["image"] == "1.png" and line["mapped_probability"] == pytest.approx(float(probability), abs=1e-6)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["maps_1.png", "maps_2.png"]


@pytest.mark.parametrize(
    ("words", "words_of_error"),
    [
        (["{run}", "--class-name", "gren"], "class 'gren' is unknown to {run} (did you mean 'green'?)"),
        (["{run}", "--parts", "field"], "parts holds 'field' (did you mean 'fields'?)"),
        (["{run}", "--maps", "lime"], "maps holds 'lime'"),
        (["{run}", "--stage", "9", "--maps", "gradcam"], "stage is 9, and the network has 4"),
        (["{run}", "absent"], "there is no run, bundle or image at 'absent'"),
        (["{photo}"], "is neither a run nor a bundle"),
        (["{photo}", "{run}"], "stands after an image"),
        (["{run}", "{broken}", "--parts", "maps", "--maps", "occlusion"], "broken.png is unreadable"),
        (["{run}", "{photo}", "--parts", "fields"], "has no effect with parts fields"),
        (["{bundle}", "--parts", "branches"], "branches need a run"),
        (["{bundle}", "--maps", "gradcam"], "Grad-CAM needs gradients"),
    ],
)
def test_one_sentence(
    words: list[str], words_of_error: str, finished_run: Path, exported: Path, photos: Path,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    broken = photos / "broken.png"
    broken.write_bytes(b"no picture")
    places = {
        "run": finished_run, "bundle": exported, "photo": photos / "val" / "red" / "0.png", "broken": broken
    }  # fmt: skip
    assert main(["explain", *(word.format(**places) for word in words)]) == 2
    assert words_of_error.format(**places) in capsys.readouterr().err


def test_maps_of_a_single_cell_are_called_flat(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """At 32 px the last stage is one pixel."""
    config = ExplainConfig([str(finished_run)], "maps", "gradcam", map_images=3, output=str(tmp_path))
    assert run_explain(config) == 0
    assert "3 of 3 maps are flat" in capsys.readouterr().out


def test_unreadable_pictures_are_passed_over(
    finished_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (photos / "val" / "red" / "0.png").write_bytes(b"no picture")
    options = {"parts": "maps", "maps": "occlusion", "output": str(tmp_path), "bad_samples": "skip"}
    (row,) = explain(capsys, finished_run, photos / "val" / "red", **options)
    assert (row["maps"]["images"], row["bad_samples"]) == (2, 1)
    for path in (photos / "val" / "red").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="none of the 3 images could be read"):
        explain(capsys, finished_run, photos / "val" / "red", **options)


def test_other_tasks_are_refused(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapidnet.evaluation.subjects.is_dense", lambda name: True)
    with pytest.raises(UserError, match="for classification only"):
        run_explain(ExplainConfig([str(finished_run)]))


def test_only_those_that_see_the_same_are_mapped(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = replace(open_subject(str(finished_run), "best"), name="a")
    second = replace(first, name="b", preprocessing=first.preprocessing | {"image_size": 48})
    monkeypatch.setattr("rapidnet.explain.explain.open_subject", lambda name, weights: first if name == "a" else second)
    monkeypatch.setattr("rapidnet.explain.explain.split_words", lambda words: (words, []))
    with pytest.raises(UserError, match="b has image_size 48 and a 32"):
        run_explain(ExplainConfig(["a", "b"], "maps", "occlusion"))


def test_words(finished_run: Path, photos: Path) -> None:
    pattern = str(photos / "val" / "*" / "0.png")
    checkpoint = str(finished_run / "best.safetensors")
    networks, images = split_words([str(finished_run), checkpoint, pattern])
    assert networks == [str(finished_run), checkpoint] and len(images) == 3


def test_a_bundle_needs_no_torch(exported: Path, photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['rapidnet']; from rapidnet.cli import main\n"
        f"words = [{str(exported)!r}, {str(photos / 'val' / 'red')!r}, '--output', {str(tmp_path)!r}]\n"
        "code = main(['explain', *words])\n"
        "assert not code and not {'torch', 'timm'} & set(sys.modules), 'a bundle is mapped without torch'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "maps.png")).std() > 10
