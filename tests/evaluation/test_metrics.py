"""Are accuracy, intervals, calibration and per-class numbers right?"""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference
from torch import from_numpy
from torchmetrics.functional.classification import multiclass_calibration_error

from rapidnet.errors import UserError
from rapidnet.evaluation.metrics import ClassificationMeter, wilson_interval


def make_answers(images: int = 400, classes: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), targets] += 1.5
    probabilities = np.exp(logits)
    return (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32), targets


def fill(probabilities: np.ndarray, targets: np.ndarray, batch: int = 64) -> ClassificationMeter:
    meter = ClassificationMeter([f"c{i}" for i in range(probabilities.shape[1])])
    for start in range(0, len(targets), batch):
        meter.update(probabilities[start : start + batch], targets[start : start + batch])
    return meter


def test_wilson_interval_by_hand() -> None:
    # n = 10, p = 0.8, z = 1.959964:
    # centre (p + z^2/2n) / (1 + z^2/n), half-width z sqrt(p q/n + z^2/4n^2) / (1 + z^2/n)
    assert wilson_interval(8, 10) == pytest.approx((49.0162, 94.3318), abs=1e-3)
    assert wilson_interval(0, 20)[0] == 0 and wilson_interval(20, 20)[1] == 100
    narrow, wide = wilson_interval(8, 10, 0.5), wilson_interval(8, 10, 0.99)
    assert wide[0] < narrow[0] < 80 < narrow[1] < wide[1]
    with pytest.raises(ValueError):
        wilson_interval(3, 2)


def test_a_case_by_hand() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    result = fill(probabilities, np.array([0, 1, 1, 0])).compute()
    assert result["images"] == 4 and result["top1"] == 50
    assert result["confusion"] == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert result["nll"] == pytest.approx(-np.log([0.8, 0.3, 0.7, 0.3]).mean())
    # four bins with one image each: |0.8 - 1|, |0.6 - 0|, |0.7 - 1|, |0.4 - 0|
    assert result["ece"] == pytest.approx(100 * (0.2 + 0.6 + 0.3 + 0.4) / 4)
    assert result["top5"] is None and result["top5_interval"] is None
    first, _, empty = result["per_class"]
    assert (first["precision"], first["recall"], first["f1"], first["support"]) == (50, 50, 50, 2)
    assert empty == {
        "class": "c2", "support": 0, "precision": 0.0, "recall": None, "f1": None, "recall_interval": None
    }  # fmt: skip
    assert result["macro_f1"] == pytest.approx((50 + 200 / 3) / 2)
    assert result["balanced_accuracy"] == 50, "the third class has no images"


def test_agrees_with_sklearn_and_torchmetrics() -> None:
    probabilities, targets = make_answers()
    result, predicted = fill(probabilities, targets).compute(), probabilities.argmax(1)
    normalized = probabilities / probabilities.sum(1, keepdims=True, dtype=np.float64)
    precision, recall, f1, support = reference.precision_recall_fscore_support(targets, predicted)
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        assert [row[name] for row in result["per_class"]] == pytest.approx(100 * expected)
    assert [row["support"] for row in result["per_class"]] == support.tolist()
    assert result["confusion"] == reference.confusion_matrix(targets, predicted).tolist()
    assert result["top1"] == pytest.approx(100 * reference.accuracy_score(targets, predicted))
    assert result["top5"] == pytest.approx(100 * reference.top_k_accuracy_score(targets, probabilities, k=5))
    assert result["macro_f1"] == pytest.approx(100 * reference.f1_score(targets, predicted, average="macro"))
    assert result["balanced_accuracy"] == pytest.approx(100 * reference.balanced_accuracy_score(targets, predicted))
    assert result["nll"] == pytest.approx(reference.log_loss(targets, normalized), rel=1e-5)
    ece = multiclass_calibration_error(from_numpy(probabilities), from_numpy(targets), num_classes=8, n_bins=15)
    assert result["ece"] == pytest.approx(100 * float(ece), abs=1e-4)
    assert result["top1_interval"][0] < result["top1"] < result["top1_interval"][1]


def test_batches_do_not_matter_and_the_result_is_json() -> None:
    probabilities, targets = make_answers()
    one, many = fill(probabilities, targets, 400).compute(), fill(probabilities, targets, 7).compute()
    assert one == many
    assert json.loads(json.dumps(one, allow_nan=False)) == one


def test_reliability_bins_give_the_calibration_error() -> None:
    probabilities, targets = make_answers()
    probabilities[:50] = np.eye(8, dtype=np.float32)[targets[:50]]
    probabilities[50:60] = np.eye(8, dtype=np.float32)[(targets[50:60] + 1) % 8]
    meter = fill(probabilities, targets)
    bins = meter.reliability_bins()
    assert len(bins["edges"]) == 16 and sum(bins["count"]) == 400
    filled = [(n, c, a) for n, c, a in zip(bins["count"], bins["confidence"], bins["accuracy"], strict=True) if n]
    assert sum(n * abs(c - a) for n, c, a in filled) / 400 == pytest.approx(meter.compute()["ece"])
    assert bins["confidence"][0] is None and bins["accuracy"][0] is None
    for low, high, confidence in zip(bins["edges"], bins["edges"][1:], bins["confidence"], strict=False):
        assert confidence is None or low <= confidence <= high


def test_certain_and_wrong_stays_finite_and_absent_classes_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fill(np.eye(6)[[0, 1]], np.array([1, 1])).compute()
    assert result["nll"] == pytest.approx(-np.log(1e-12) / 2) and result["ece"] == pytest.approx(50)
    assert result["per_class"][5]["precision"] is None and result["per_class"][5]["recall"] is None
    assert result["macro_f1"] == pytest.approx(200 / 3)


def test_a_network_that_answers_the_same_for_all_gains_nothing_from_ties() -> None:
    uniform = np.full((20, 20), 0.05)
    uniform.flags.writeable = False
    result = fill(uniform, np.arange(20)).compute()
    assert (result["top1"], result["top5"]) == (5, 25)
    assert result["ece"] == pytest.approx(0) and result["nll"] == pytest.approx(np.log(20))


def test_what_is_refused() -> None:
    meter = ClassificationMeter(["a", "b"])
    with pytest.raises(UserError, match="not one image"):
        meter.compute()
    meter.update(np.empty((0, 2)), np.empty(0, dtype=np.int64))
    with pytest.raises(UserError, match="not one image"):
        meter.compute()
    with pytest.raises(ValueError, match="logits"):
        meter.update(np.array([[3.0, -1.0]]), np.array([0]))
    with pytest.raises(UserError, match="NaN"):
        meter.update(np.array([[np.nan, 1.0]]), np.array([0]))
    with pytest.raises(ValueError, match="outside"):
        meter.update(np.array([[0.5, 0.5]]), np.array([2]))
    with pytest.raises(ValueError, match=r"must be \[1, 2\]"):
        meter.update(np.array([[0.5, 0.3, 0.2]]), np.array([0]))
    with pytest.raises(ValueError, match="integers"):
        meter.update(np.array([[0.5, 0.5]]), np.array([0.0]))
    with pytest.raises(ValueError, match="two classes"):
        ClassificationMeter(["a"])
