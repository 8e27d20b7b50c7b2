"""Does numpy choose the boxes that torchvision chooses?"""

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from rapidnet.runtimes.detections import select_detections, suppress
from rapidnet.runtimes.network import Array


def random_boxes(count: int, seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 100, (count, 2)), rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    return boxes, rng.uniform(0, 1, count).astype(np.float32), rng.integers(0, 3, count)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("count", [0, 1, 300, 1500])
def test_suppression_is_torchvisions(count: int, threshold: float) -> None:
    boxes, scores, labels = random_boxes(count, seed=count)
    expected = batched_nms(*(torch.from_numpy(array) for array in (boxes, scores, labels)), threshold).numpy()
    kept = suppress(boxes, scores, labels, threshold)
    assert np.array_equal(kept, expected) and kept.dtype == np.int64
    if count > 1:
        assert len(kept) < count
        assert not np.array_equal(suppress(boxes, scores, labels * 0, threshold), expected), "classes matter"
        assert not np.array_equal(suppress(boxes, scores, labels, threshold + 0.1), expected)


def test_thresholds_are_exclusive_as_torchvisions() -> None:
    # Overlaps of exactly one half: 10 of 20. The second box stays at 0.5, and goes just below.
    boxes = np.array([[0, 0, 10, 1], [0, 0, 20, 1]], dtype=np.float32)
    scores, labels = np.array([0.9, 0.8], dtype=np.float32), np.array([0, 0])
    assert suppress(boxes, scores, labels, 0.5).tolist() == [0, 1]
    assert suppress(boxes, scores, labels, 0.4999).tolist() == [0]
    # 3 of 10: above 0.3 in float32, whose nearest number is a little larger; a comparison in float32 says equal.
    boxes[1] = [0, 0, 3, 1]
    expected = batched_nms(*(torch.from_numpy(array) for array in (boxes, scores, labels)), 0.3).tolist()
    assert suppress(boxes, scores, labels, 0.3).tolist() == expected == [0]


def test_empty_and_equal_boxes() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 4, 4], [0, 0, 4, 4]], dtype=np.float32)
    scores, labels = np.array([0.5, 0.5, 0.7, 0.7], dtype=np.float32), np.zeros(4, dtype=np.int64)
    expected = batched_nms(*(torch.from_numpy(array) for array in (boxes, scores, labels)), 0.5).tolist()
    assert suppress(boxes, scores, labels, 0.5).tolist() == expected == [2, 0, 1]


def test_selection_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], dtype=np.float32)
    scores = np.array([[0.9, 0.2], [0.8, 0.6], [0.01, 0.5]], dtype=np.float32)
    found = select_detections(boxes, scores, 0.05, 0.5)
    # The second box of class 0 and the first of class 1 are suppressed, each by the other.
    assert np.allclose(found.scores, [0.9, 0.6, 0.5]) and found.labels.tolist() == [0, 1, 1]
    assert found.boxes.tolist() == boxes.tolist()
    assert select_detections(boxes, scores, 0.55, 0.5).labels.tolist() == [0, 1]
    assert select_detections(boxes, scores, 0.05, 0.5, detections=1).labels.tolist() == [0]
    assert select_detections(boxes, scores, 0.05, 0.5, candidates=2).labels.tolist() == [0]
    none = select_detections(boxes, scores, 0.95)
    assert none.boxes.shape == (0, 4) and none.scores.shape == none.labels.shape == (0,)
