"""Are mIoU and its companions those of torchmetrics, and is the interval an interval?"""

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassJaccardIndex

from rapidnet.errors import UserError
from rapidnet.evaluation.segmentation_metrics import SegmentationMeter

CLASSES = ["sky", "road", "tree", "never"]


def random_batch(seed: int, images: int = 5, ignored: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and targets [B, 12, 17] of the first three classes; predictions are right about half of the time."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, (images, 12, 17)).astype(np.uint8)
    predicted = np.where(rng.random(targets.shape) < 0.5, targets, rng.integers(0, 3, targets.shape))
    targets[rng.random(targets.shape) < ignored] = 255
    return predicted, targets


def measure(predicted: np.ndarray, targets: np.ndarray) -> SegmentationMeter:
    meter = SegmentationMeter(CLASSES)
    meter.update(predicted, targets)
    return meter


@pytest.mark.parametrize("seed", range(5))
def test_results_are_those_of_torchmetrics(seed: int) -> None:
    predicted, targets = random_batch(seed)
    result = measure(predicted, targets).compute()
    pair = torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(targets.astype(np.int64))
    confusion = MulticlassConfusionMatrix(4, ignore_index=255)(*pair)
    assert result["confusion"] == confusion.tolist() and result["pixels"] == int((targets != 255).sum())
    iou = MulticlassJaccardIndex(4, average=None, ignore_index=255)(*pair)
    assert [row["iou"] for row in result["per_class"]][:3] == pytest.approx((100 * iou[:3]).tolist(), abs=1e-4)
    assert result["miou"] == pytest.approx(100 * float(iou[:3].mean()), abs=1e-4), (
        "a class that never occurs is left out"
    )
    accuracy = MulticlassAccuracy(4, average="micro", ignore_index=255)(*pair)
    assert result["pixel_accuracy"] == pytest.approx(100 * float(accuracy), abs=1e-4)
    assert result["per_class"][3] == {"class": "never", "share": 0.0, "iou": None, "accuracy": None}
    wrong = measure(predicted, np.where(targets == 255, 255, (targets + 1) % 3)).compute()
    assert wrong["miou"] < result["miou"] - 10


def test_a_class_that_is_only_answered_counts_as_missed() -> None:
    result = measure(np.array([[0, 3]]), np.array([[0, 0]])).compute()
    assert result["miou"] == pytest.approx(25) and result["mean_accuracy"] == pytest.approx(50)
    assert [row["iou"] for row in result["per_class"]] == [50, None, None, 0]


def test_pictures_one_by_one_in_batches_and_in_two_meters_are_alike() -> None:
    predicted, targets = random_batch(1)
    whole = measure(predicted, targets).compute()
    single, other = SegmentationMeter(CLASSES), SegmentationMeter(CLASSES)
    for index in range(5):
        (single if index < 2 else other).update(torch.from_numpy(predicted[index]), torch.from_numpy(targets[index]))
    single.merge(other)
    assert single.compute() == whole and whole["images"] == 5


def test_the_interval_covers_what_other_samples_of_pictures_give() -> None:
    """Pictures differ in how often they are right; the interval of 60 covers the mIoU of all about as often as said."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(600):
        targets = rng.integers(0, 3, (6, 6))
        pictures.append((np.where(rng.random((6, 6)) < rng.uniform(0.2, 1), targets, (targets + 1) % 3), targets))

    def score(chosen: list[int]) -> dict:
        meter = SegmentationMeter(CLASSES)
        for index in chosen:
            meter.update(*pictures[index])
        return meter.compute()

    truth = score(list(range(600)))["miou"]
    covered = widths = 0
    for _ in range(60):
        result = score(rng.choice(600, 60, replace=False).tolist())
        low, high = result["miou_interval"]
        assert low < result["miou"] < high
        covered += low <= truth <= high
        widths += (high - low) / 60
    assert covered >= 52 and widths < 20
    assert score([1])["miou_interval"] is None


def test_odd_input() -> None:
    meter = SegmentationMeter(CLASSES)
    with pytest.raises(UserError, match="not one pixel"):
        meter.compute()
    meter.update(np.zeros((3, 3), dtype=int), np.full((3, 3), 255))
    with pytest.raises(UserError, match="not one pixel"):
        meter.compute()
    meter.update(np.zeros((3, 3), dtype=int), np.zeros((3, 3), dtype=int))
    assert meter.compute()["miou_interval"] == [100, 100], "a resample of ignored pictures says nothing"


ZEROS = np.zeros((3, 3), dtype=int)


@pytest.mark.parametrize(
    ("predicted", "targets", "words"),
    [
        (ZEROS, ZEROS[:, :2], "both"), (ZEROS[0], ZEROS[0], "both"), (ZEROS.astype(float), ZEROS, "logits"),
        (ZEROS + 4, ZEROS, "predicted class"), (ZEROS - 1, ZEROS, "predicted class"), (ZEROS, ZEROS + 4, "true class"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(predicted: np.ndarray, targets: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SegmentationMeter(CLASSES).update(predicted, targets)
