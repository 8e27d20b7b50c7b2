"""Are mCE, relative mCE and the intervals what their sources define?"""

import numpy as np
import pytest

from rapidnet.evaluation.metrics import compare_pairs
from rapidnet.robustness.cells import CLEAN, Cell, average, compare_averages
from rapidnet.robustness.corruption_error import ALEXNET, build_alexnet, compute_corruption_error
from rapidnet.robustness.corruptions import PUBLISHED


def test_by_hand() -> None:
    reference = {CLEAN: 40.0, ("fog", 1): 50.0, ("fog", 2): 70.0, ("snow", 1): 60.0, ("snow", 2): 80.0}
    ours = {CLEAN: 20.0, ("fog", 1): 30.0, ("fog", 2): 30.0, ("snow", 1): 40.0, ("snow", 2): 65.0}
    facts = compute_corruption_error(ours, reference, ["fog", "snow"], [1, 2])
    assert facts["ce"] == {"fog": 50.0, "snow": 75.0}
    assert facts["mce"] == 62.5
    assert facts["relative_ce"] == {"fog": 50.0, "snow": pytest.approx(100 * 65 / 60)}
    itself = compute_corruption_error(reference, reference, ["fog", "snow"], [1, 2])
    assert itself["mce"] == itself["relative_mce"] == 100


def test_what_cannot_be_divided_is_unknown() -> None:
    perfect = {CLEAN: 0.0, ("fog", 1): 0.0}
    facts = compute_corruption_error({CLEAN: 10.0, ("fog", 1): 20.0}, perfect, ["fog"], [1])
    assert facts["mce"] is None and facts["relative_mce"] is None
    without_clean = {CLEAN: float("nan"), ("fog", 1): 20.0}
    facts = compute_corruption_error(without_clean, {CLEAN: 10.0, ("fog", 1): 40.0}, ["fog"], [1])
    assert facts["mce"] == 50 and facts["relative_mce"] is None


def test_alexnet_itself_is_100_percent() -> None:
    assert set(ALEXNET) == set(PUBLISHED)
    facts = compute_corruption_error(build_alexnet(), build_alexnet(), PUBLISHED, range(1, 6))
    assert facts["mce"] == pytest.approx(100)
    assert facts["relative_mce"] == pytest.approx(100)


def test_paired_intervals_cover_and_beat_unpaired_ones() -> None:
    rng = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(300):
        theirs = rng.random(200) < 0.7
        # Half of the wrong answers and a tenth of the right ones change: truly +8 points.
        ours = np.where(theirs, rng.random(200) >= 0.1, rng.random(200) < 0.5)
        facts = compare_pairs(ours, theirs)
        low, high = facts["difference_interval"]
        covered += low <= 8 <= high
        widths.append(high - low)
        means = compare_averages([ours], [theirs])
        assert means["difference"] == pytest.approx(facts["difference"])
    assert covered / 300 > 0.91
    assert np.mean(widths) < 2 * 1.96 * 100 * (2 * 0.7 * 0.3 / 200) ** 0.5
    same = compare_pairs(np.ones(50, bool), np.ones(50, bool))
    assert same["difference"] == 0 and same["difference_interval"][0] < 0 < same["difference_interval"][1]


def test_averages_take_pictures_for_independent() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(400) < 0.5
    once, often = average([right]), average([right] * 20)
    assert often["interval"] == pytest.approx(once["interval"]), "the same answers again say nothing new"


def test_a_cell_counts_first_answers_and_calibration() -> None:
    cell = Cell(["a", "b"])
    cell.update(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]))
    assert cell.right.tolist() == [True, False]
    assert cell.compute()["top1"] == 50
    assert cell.compute()["ece"] == pytest.approx(100 * (abs(1 - 0.9) + abs(0 - 0.8)) / 2)
