"""Does the quickstart's path run end to end, small, and does its proof fail when it should?"""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from conftest import TINY
from rapidnet import quickstart
from rapidnet.config import QuickstartConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained

SMALL = {"model_options": dict(TINY), "train_length": 256, "image_size": 32}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "RECIPE", quickstart.replace(quickstart.RECIPE, **SMALL))
        patch.setattr("rapidnet.training.build_classifier.BUILTIN_VAL_LENGTH", 100)
        results = str(folder.parent / "rows.jsonl")
        assert quickstart.run_quickstart(QuickstartConfig(str(folder), epochs=2, results=results)) == 0
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
    assert len(list((small / "pictures").glob("*.png"))) == quickstart.EXAMPLES


def test_a_wrong_folding_stops_the_quickstart(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_trained(small / "run")
    folding = quickstart.fold_and_prove(trained, Console(quiet=True))
    assert not folding.control.holds(quickstart.TOLERANCE)
    fold = quickstart.reparameterize
    monkeypatch.setattr(quickstart, "reparameterize", lambda model: quickstart.break_one_weight(fold(model)))
    with pytest.raises(RuntimeError, match="folding is not exact"):
        quickstart.fold_and_prove(trained, Console(quiet=True))


def test_replaces_only_its_own_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert quickstart.prepare_folder(own) == own
    (own / "old.txt").touch()
    quickstart.prepare_folder(own)
    assert not (own / "old.txt").exists()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").touch()
    with pytest.raises(UserError, match="not a quickstart"):
        quickstart.prepare_folder(tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").exists()
