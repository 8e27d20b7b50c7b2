"""Are average precision, F1 and what they leave out right where images carry several labels?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.classification import MultilabelAveragePrecision

from rapidnet.errors import UserError
from rapidnet.evaluation.multilabel_metrics import MultiLabelMeter
from rapidnet.evaluation.multilabel_report import draw_average_precision, summarize_multilabel
from rapidnet.evaluation.pictures import save_figure


def make_answers(images: int = 300, classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((images, classes)) < np.linspace(0.05, 0.6, classes)).astype(np.float32)
    logits = rng.normal(size=(images, classes)) + 1.2 * targets - 0.5
    return (1 / (1 + np.exp(-logits))).astype(np.float32), targets


def fill(probabilities: np.ndarray, targets: np.ndarray, batch: int = 64) -> MultiLabelMeter:
    meter = MultiLabelMeter([f"c{i}" for i in range(probabilities.shape[1])])
    for start in range(0, len(targets), batch):
        meter.update(probabilities[start : start + batch], targets[start : start + batch])
    return meter


def test_agrees_with_sklearn_and_torchmetrics() -> None:
    probabilities, targets = make_answers()
    result, answered = fill(probabilities, targets).compute(), probabilities >= 0.5
    ap = reference.average_precision_score(targets, probabilities, average=None)
    assert [facts["ap"] for facts in result["per_class"]] == pytest.approx(100 * ap, abs=1e-4)
    assert result["map"] == pytest.approx(100 * ap.mean(), abs=1e-4)
    metric = MultilabelAveragePrecision(num_labels=6, average="macro")
    expected = metric(torch.from_numpy(probabilities), torch.from_numpy(targets).long())
    assert result["map"] == pytest.approx(100 * float(expected), abs=1e-4)
    precision, recall, f1, support = reference.precision_recall_fscore_support(targets, answered)
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert [facts[name] for facts in result["per_class"]] == pytest.approx(100 * values)
    assert [facts["support"] for facts in result["per_class"]] == support.tolist()
    assert result["macro_f1"] == pytest.approx(100 * f1.mean())
    assert result["micro_f1"] == pytest.approx(100 * reference.f1_score(targets, answered, average="micro"))
    losses = [reference.log_loss(targets[:, i], probabilities[:, i].astype(np.float64)) for i in range(6)]
    assert result["bce"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert fill(probabilities, targets, 7).compute() == result
    merged = fill(probabilities[:100], targets[:100])
    merged.merge(fill(probabilities[100:], targets[100:]))
    assert merged.compute() == result
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_shuffled_answers_fall_to_guessing() -> None:
    probabilities, targets = make_answers(2000)
    shuffled = np.random.default_rng(1).permutation(probabilities)
    right, wrong = (fill(answers, targets).compute()["map"] for answers in (probabilities, shuffled))
    assert wrong == pytest.approx(100 * targets.mean(), abs=3) and right > wrong + 10


def test_classes_without_positives_are_left_out_and_said() -> None:
    probabilities, targets = make_answers()
    targets[:, 2] = 0
    result = fill(probabilities, targets).compute()
    known = [0, 1, 3, 4, 5]
    expected = reference.average_precision_score(targets[:, known], probabilities[:, known])
    assert result["map"] == pytest.approx(100 * expected, abs=1e-4)
    assert result["without_positives"] == ["c2"]
    facts = result["per_class"][2]
    assert (facts["ap"], facts["recall"], facts["f1"], facts["precision"]) == (None, None, None, 0.0)
    assert "1 of 6 classes have no validation image and are left out: c2" in summarize_multilabel(result)


@pytest.mark.parametrize("classes", [2, 90])
def test_bars_show_the_best_and_the_worst(classes: int, tmp_path: Path) -> None:
    result = fill(*make_answers(400, classes)).compute()
    figure = draw_average_precision(result)
    save_figure(figure, tmp_path / "ap.png")
    lengths = [bar.get_width() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    values = sorted((facts["ap"] for facts in result["per_class"]), reverse=True)
    assert lengths == pytest.approx(values if classes <= 60 else values[:30] + values[-30:])


def test_what_is_refused() -> None:
    meter = MultiLabelMeter(["a", "b"])
    with pytest.raises(UserError, match="not one image"):
        meter.compute()
    meter.update(np.array([[0.5, 0.1]]), np.array([[0, 0]]))
    with pytest.raises(UserError, match="carries a label"):
        meter.compute()
    with pytest.raises(ValueError, match="logits"):
        meter.update(np.array([[3.0, -1.0]]), np.array([[0, 1]]))
    with pytest.raises(UserError, match="NaN"):
        meter.update(np.array([[np.nan, 1.0]]), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="0 or 1"):
        meter.update(np.array([[0.5, 0.5]]), np.array([[0.4, 1]]))
    with pytest.raises(ValueError, match="not"):
        meter.update(np.array([[0.5, 0.5]]), np.array([1]))
