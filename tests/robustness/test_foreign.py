"""Are foreign pictures told apart as their sources define it, and subsets scored over their own classes?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from conftest import write_images
from rapidnet.config import RobustnessConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.folder import Sample, Split
from rapidnet.errors import UserError
from rapidnet.robustness.class_names import match_classes
from rapidnet.robustness.foreign import compare_scores, measure_subsets
from rapidnet.robustness.robustness import run_robustness
from rapidnet.robustness.subjects import open_subject


def test_scores_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    known, foreign = rng.normal(1, 1, 4000), rng.normal(0, 1, 4000)
    facts = compare_scores(known, foreign)
    assert facts["auroc"] == pytest.approx(76.0, abs=1.5), "Phi(1 / sqrt 2)"
    low, high = facts["auroc_interval"]
    assert low < facts["auroc"] < high and 1 < high - low < 3
    rate, found, _ = roc_curve(np.repeat([1, 0], 4000), np.concatenate([known, foreign]))
    assert facts["fpr95"] == pytest.approx(100 * rate[np.searchsorted(found, 0.95)], abs=0.5)
    same = compare_scores(known, known)
    assert same["auroc"] == pytest.approx(50)
    assert compare_scores(known + 100, foreign) | {"auroc_interval": 0} == {
        "auroc": 100, "auroc_interval": 0, "fpr95": 0,
    }  # fmt: skip


def test_the_command(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    from PIL import Image

    (tmp_path / "noise").mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "noise" / f"{number}.png")
    some = write_images(tmp_path / "some", {"blue sky": 3, "green": 2})
    config = RobustnessConfig(
        [str(finished_run)], kinds="none", ood=str(tmp_path / "noise"), subset=str(some), json=True
    )  # fmt: skip
    assert run_robustness(config) == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    (line,) = row["ood"]
    assert line["images"] == 6 and set(line) == {"folder", "images", "msp", "energy"}
    (line,) = row["subset"]
    assert (line["images"], line["classes"]) == (5, 2) and line["top1"] >= line["top1_all"]
    with pytest.raises(UserError, match="absent is not a folder"):
        run_robustness(RobustnessConfig([str(finished_run)], kinds="none", ood="absent"))


def test_a_subset_is_answered_within_itself(finished_run: Path, tmp_path: Path) -> None:
    """Every picture looks like the third class; of the other two the right one is second."""
    some = write_images(tmp_path / "some", {"blue sky": 4, "green": 4})
    subject = replace(
        open_subject(str(finished_run), "best"), predict=lambda pixels: np.tile([0.3, 0.1, 0.6], (len(pixels), 1))
    )
    ((line,),) = measure_subsets([subject], [str(some)], 4, BadSampleLog("error", None))
    assert line["top1_all"] == 0 and line["top1"] == 50
    (some / "green").rename(some / "n02123045")
    with pytest.raises(UserError, match="'n02123045'"):
        measure_subsets([subject], [str(some)], 4, BadSampleLog("error", None))


def test_imagenet_by_the_order_of_its_ids() -> None:
    names = [f"n{number:08d}" for number in range(1000)]
    split = Split("val", names, [Sample("a/x.JPEG", 7)])
    matched = match_classes(split, [f"described {number}" for number in range(1000)], Path("x"))
    assert matched.samples[0].label == 7 and matched.classes[7] == "described 7"
    with pytest.raises(UserError, match="1000 class folders"):
        match_classes(split, ["cat", "dog"], Path("x"))
