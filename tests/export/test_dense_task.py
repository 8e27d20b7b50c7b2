"""When are two answers the same? Known boxes and pixels, and what must not pass."""

from typing import Any

import numpy as np
import pytest

from rapidnet.export.dense_task import AGREEMENTS, BoxAgreement, PixelAgreement, compute_overlaps, match_boxes

LIMITS = {"score_threshold": 0.05, "detections": 5}
BOXES = np.array([[0, 0, 100, 100], [200, 0, 300, 100], [0, 200, 50, 250]], dtype=np.float32)
SCORES = np.array([0.9, 0.8, 0.3], dtype=np.float32)


def answer(**changes: Any) -> dict:
    return {"boxes": BOXES.copy(), "scores": SCORES.copy(), "labels": np.array([0, 1, 0])} | changes


def agree(found: dict, own: dict, precision: str = "fp32") -> BoxAgreement:
    agreement = BoxAgreement(AGREEMENTS[precision], LIMITS)
    agreement.update(found, own)
    return agreement


def test_the_same_boxes_match_in_any_order() -> None:
    turned = {name: value[::-1] for name, value in answer().items()}
    agreement = agree(turned, answer())
    assert agreement.share == 100 and agreement.check(AGREEMENTS["fp32"]).passed and agreement.total == [3, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"boxes": BOXES + np.array([1, 0, 1, 0])}, {"labels": np.array([1, 1, 0])},
        {"scores": SCORES - np.array([0.02, 0, 0], dtype=np.float32)},
        {"boxes": BOXES[:2], "scores": SCORES[:2], "labels": np.array([0, 1])},
    ],
)  # fmt: skip
def test_what_differs_does_not_match(changes: dict) -> None:
    for pair in ((answer(**changes), answer()), (answer(), answer(**changes))):
        agreement = agree(*pair)
        assert agreement.share < 99.9 and not agreement.check(AGREEMENTS["fp32"]).passed


def test_one_box_is_no_match_for_two() -> None:
    twice = {name: np.concatenate([value, value[:1]]) for name, value in answer().items()}
    assert len(match_boxes(twice, answer(), 0.99, 0.01)) == 3 and agree(twice, answer()).matched == [3, 3]


def test_boxes_at_the_threshold_are_left_out() -> None:
    extra = np.array([0.0505], dtype=np.float32)
    more = answer(
        boxes=np.vstack([BOXES, BOXES[:1] + 400]), scores=np.append(SCORES, extra), labels=np.array([0, 1, 0, 0])
    )
    agreement = agree(more, answer())
    assert agreement.share == 100 and agreement.at_the_edge == 1
    more["scores"][3] = 0.0515
    assert agree(more, answer()).share < 99.9
    # A full answer ends with its last box, not with the threshold.
    full = answer(
        boxes=np.vstack([BOXES, BOXES[:2] + 400]), scores=np.append(SCORES, [0.2, 0.2]).astype(np.float32),
        labels=np.array([0, 1, 0, 0, 0]),
    )  # fmt: skip
    assert agree(full, answer()).at_the_edge == 2


def test_finding_nothing_proves_nothing() -> None:
    none = {"boxes": np.zeros((0, 4), np.float32), "scores": np.zeros(0, np.float32), "labels": np.zeros(0, np.int64)}
    assert not agree(none, none).check(AGREEMENTS["fp32"]).passed
    assert agree(none, answer()).share == 0


def test_overlaps() -> None:
    flat = np.array([[5.0, 5, 5, 9]])
    assert compute_overlaps(flat, flat).tolist() == [[1.0]], "a box without an area is itself"
    assert compute_overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])) == pytest.approx(
        np.array([[1 / 3, 0]])
    )


def test_pixels() -> None:
    agreement = PixelAgreement()
    own = np.zeros((100, 200), dtype=np.uint8)
    found = own.copy()
    found[0, :2] = 1
    agreement.update({"semantic": found}, {"semantic": own})
    assert agreement.check(AGREEMENTS["fp32"]).passed and agreement.share == 99.99
    agreement.update({"semantic": found + 1}, {"semantic": own})
    assert not agreement.check(AGREEMENTS["fp16"]).passed
