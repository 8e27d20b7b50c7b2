"""Do the quickstarts that detect and name pixels run end to end, small, and is folding proved for them, too?"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from conftest import TINY, randomize
from rapidnet.config import DenseConfig, QuickstartConfig
from rapidnet.environment import read_rows
from rapidnet.models.dense import DenseNetwork
from rapidnet.quickstart import dense, proof
from rapidnet.quickstart.run import run_quickstart

SMALL: dict[str, dict[str, Any]] = {
    "detect": {"pyramid_channels": 16},
    "semantic": {"pyramid_channels": 16, "head_channels": 16},
}


@pytest.mark.parametrize("task", SMALL)
def test_it_runs_from_training_to_the_report(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(
        dense.RECIPES[task], model_options=dict(TINY), train_length=96, image_size=64,
        dense=DenseConfig(options=SMALL[task]),
    )  # fmt: skip
    monkeypatch.setitem(dense.RECIPES, task, small)
    monkeypatch.setattr("rapidnet.training.build_dense.BUILTIN_VAL_LENGTH", 24)
    monkeypatch.setattr(dense, "PROOF_IMAGES", 4)
    monkeypatch.setattr(dense, "EXAMPLES", 0)
    monkeypatch.setattr(dense, "predict_examples", lambda *arguments: None)
    results = str(tmp_path / "rows.jsonl")
    config = QuickstartConfig(task=task, output=str(tmp_path / "out"), epochs=2, results=results)  # type: ignore[arg-type]
    assert run_quickstart(config) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 3
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for text in ("Folded, and proved equal", "negative control", "refused", "held-out", f"--task {task}"):
        assert text in page, text
    (row,) = read_rows(Path(results))
    assert row["task"] == task and row["images"] == 24
    assert row["folding"]["max_rel"] < proof.TOLERANCE and row["folding"]["same_top1"] == 4


@pytest.mark.parametrize(("task", "head"), [("detect", "fcos"), ("semantic", "semantic_fpn")])
def test_a_wrong_folding_is_noticed(task: str, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = randomize(DenseNetwork(task, head, "rapidnet_ti", 3, 64, 64, SMALL[task], dict(TINY)).build())  # type: ignore[arg-type]
    inputs, quiet = torch.randn(2, 3, 64, 64), Console(quiet=True)
    folding = proof.prove_folding(network, inputs, quiet, dense.VIEWS[task])
    assert folding.equality.holds(proof.TOLERANCE) and not folding.control.holds(proof.TOLERANCE)
    fold = proof.reparameterize
    monkeypatch.setattr(proof, "reparameterize", lambda model: proof.break_one_weight(fold(model)))
    with pytest.raises(RuntimeError, match="folding is not exact"):
        proof.prove_folding(network, inputs, quiet, dense.VIEWS[task])
