"""Does the study of forms see a changed answer and a changed time, and none where there is none?"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import forms_study
import forms_table

from rapidnet.benchmark.eager_forms import AS_TRAINED, FORMS, Form, open_form
from rapidnet.benchmark.schedule import Mode
from rapidnet.benchmark.worker import FormSubject
from rapidnet.environment import append_row, read_rows
from rapidnet.evaluation.trained import load_trained
from rapidnet.models import reparameterize

SHORT = Mode(runs=12, seconds=0, blocks=6, warm_runs=1, warm_seconds=0, headline=False)


class Slow:
    """A worker whose runs take 4 ms, or 2 ms once folded."""

    pid = os.getpid()

    def __init__(self, name: str) -> None:
        self.ms = 2.0 if name.startswith("folded") else 4.0
        self.noise = np.random.default_rng(len(name))

    def run(self, count: int, warm: int) -> list[float]:
        return list(self.ms * self.noise.normal(1, 0.01, count))


@contextmanager
def open_slow(items: list[Any], threads: int) -> Iterator[dict[str, Slow]]:
    yield {item.name: Slow(item.label) for item in items}


def test_a_row_for_each_form_from_the_answers_and_the_turns(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms_study, "open_workers", open_slow)
    monkeypatch.setattr(forms_study, "measure_others", lambda before, after: 0.0)
    monkeypatch.setitem(forms_study.MODES, "quick", SHORT)
    results = tmp_path / "forms.jsonl"
    asked = [str(finished_run), "--exports", "onnx:fp32,eager:int8", "--mode", "quick", "--results", str(results)]
    assert forms_study.main([*asked, "--images", "6"]) == 0
    rows = {row["form"]: row for row in read_rows(results)}
    assert list(rows) == [*FORMS, "onnx fp32", "eager int8"]
    assert rows["eager int8"]["verdict"] == "refused" and "int8" in rows["eager int8"]["reasons"][0]
    measured = [row for row in rows.values() if row["verdict"] != "refused"]
    assert {row["images"] for row in measured} == {6}
    for name in (AS_TRAINED, "folded", "channels last", "folded, channels last"):
        assert rows[name]["agreement"] == 100 and 0 < rows[name]["largest_logit"] < 1e-4
    # Half precision shows, and bf16 has fewer digits than fp16.
    half, brain = (rows[f"folded, channels last, {name}"]["largest_logit"] for name in ("fp16", "bf16"))
    assert rows["folded"]["largest_logit"] < half / 10 < half < brain
    assert rows["onnx fp32"]["largest_logit"] is None and rows["onnx fp32"]["largest_probability"] < 1e-5
    assert rows["folded"]["ratio"] == pytest.approx(0.5, rel=0.02) and rows["folded"]["verdict"] == "faster"
    assert rows["folded"]["mean_ratio"] == pytest.approx(0.5, rel=0.02)
    assert rows[AS_TRAINED]["ratio"] == 1 and rows["channels last"]["ratio"] == pytest.approx(1, rel=0.02)
    monkeypatch.setattr(forms_table, "RESULTS", tmp_path)
    lines = forms_table.forms().splitlines()
    assert lines[0].startswith("rapidnet_ti at 32 px, 6 validation images") and len(lines) == 4 + len(rows)
    assert "refused by its checks" in lines[-1] and "faster" in lines[5]
    append_row(results, rows["folded"] | {"verdict": "unstable"})
    assert "unstable" in forms_table.forms().splitlines()[5]


def fold_loosely(model: nn.Module) -> nn.Module:
    """Folded with variances that are one percent off."""
    loose = deepcopy(model)
    for module in loose.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            module.running_var *= 1.01
    return reparameterize(loose)


def test_a_wrong_folding_would_show(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_trained(finished_run)

    items, refused = forms_study.list_contestants(str(finished_run), 32, "", Path())
    assert not refused
    folded = [item for item in items if item.label == "folded"]
    (right,) = forms_study.measure_answers(trained, folded, 0)
    monkeypatch.setattr("rapidnet.benchmark.eager_forms.reparameterize", fold_loosely)
    (wrong,) = forms_study.measure_answers(load_trained(finished_run), folded, 0)
    assert 10 * right["largest_logit"] < wrong["largest_logit"] and right["images"] == 9


def test_what_is_timed_is_what_was_measured(finished_run: Path) -> None:
    trained = load_trained(finished_run)
    subject = FormSubject(str(finished_run), "folded, channels last, bf16", torch.get_num_threads(), 2, 32)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    prepare, answer = open_form(trained, FORMS["folded, channels last, bf16"])
    inputs = prepare(pixels)
    assert inputs.dtype == torch.bfloat16 and inputs.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(subject.run(), answer(inputs)) and subject.facts["image_size"] == 32
    assert not torch.equal(subject.run().float(), open_form(trained, Form())[1](prepare(pixels).float()))
    assert open_form(trained, Form(dtype=torch.float64))[0](pixels).dtype == torch.float64
    assert next(trained.model.parameters()).dtype == torch.float32
