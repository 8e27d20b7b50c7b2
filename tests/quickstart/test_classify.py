"""Does the quickstart's path run end to end, small, and does its proof fail when it should?"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from conftest import TINY
from rapidnet.config import QuickstartConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.quickstart import classify, proof
from rapidnet.quickstart.report import prepare_folder
from rapidnet.quickstart.run import run_quickstart

SMALL = {"model_options": dict(TINY), "train_length": 256, "image_size": 32}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classify, "RECIPE", replace(classify.RECIPE, **SMALL))
        patch.setattr("rapidnet.training.build_classifier.BUILTIN_VAL_LENGTH", 100)
        results = str(folder.parent / "rows.jsonl")
        assert run_quickstart(QuickstartConfig(output=str(folder), epochs=2, results=results)) == 0
    return folder


def test_report_is_one_file_that_needs_no_other(small: Path) -> None:
    page = (small / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 4
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for text in ("Folded, and proved equal", "BatchNorm layers", "negative control", "refused", "held-out"):
        assert text in page, text


def test_row_says_what_was_measured(small: Path) -> None:
    (row,) = read_rows(small.parent / "rows.jsonl")
    assert row["images"] == 100
    assert row["folding"]["max_rel"] < 1e-10
    assert row["folding"]["same_top1"] == row["folding"]["images"] == 200
    assert row["environment"]["packages"]["torch"]
    assert json.loads(json.dumps(row)) == row


def test_pictures_are_there_to_try(small: Path) -> None:
    assert len(list((small / "pictures").glob("*.png"))) == classify.EXAMPLES


def test_a_wrong_folding_stops_the_quickstart(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, quiet = load_trained(small / "run"), Console(quiet=True)
    inputs = torch.randn(4, 3, 32, 32)
    folding = proof.prove_folding(trained.model, inputs, quiet)
    assert not folding.control.holds(proof.TOLERANCE)
    fold = proof.reparameterize
    monkeypatch.setattr(proof, "reparameterize", lambda model: proof.break_one_weight(fold(model)))
    with pytest.raises(RuntimeError, match="folding is not exact"):
        proof.prove_folding(trained.model, inputs, quiet)


def test_replaces_only_its_own_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert prepare_folder(own) == own
    (own / "old.txt").touch()
    prepare_folder(own)
    assert not (own / "old.txt").exists()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").touch()
    with pytest.raises(UserError, match="not a quickstart"):
        prepare_folder(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").exists()
