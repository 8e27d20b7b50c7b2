"""Do intervals cover, do tests err as often as they say and no more, and are a study's claims kept in bounds?"""

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rapidnet.experiments.statistics import (
    ALPHA,
    choose_test,
    compare_pairs,
    correct,
    effect_interval,
    find_detectable,
    judge,
    mean_interval,
    paired_t,
    sign_flips,
)

STUDIES, CHANGES = 2000, 8


def draw_null_studies(seeds: int, seed: int = 0) -> np.ndarray:
    """Differences [studies, changes, seeds] of changes that change nothing, all held against the same baseline."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.7, (STUDIES, 1, seeds))
    scores = shared + rng.normal(0, 0.7, (STUDIES, CHANGES, seeds))
    return scores - (shared + rng.normal(0, 0.7, (STUDIES, 1, seeds)))


@pytest.mark.parametrize(("seeds", "test"), [(5, paired_t), (8, paired_t), (10, sign_flips)])
def test_null_studies_make_at_most_5_5_percent_false_discoveries(seeds: int, test: Any) -> None:
    p = test(draw_null_studies(seeds))
    assert choose_test(seeds, CHANGES) == ("paired t" if test is paired_t else "sign flips")
    # Nothing is true here, so a study with any discovery is one of false discoveries only.
    assert (correct(p) <= ALPHA).any(1).mean() <= 0.055
    # Without correction most of the error would be back: the simulation sees it.
    assert (p <= ALPHA).any(1).mean() > 0.15
    # A test that never spoke would pass too: one by one it errs as often as it says.
    assert 0.035 < (p <= ALPHA).mean() < 0.06


def test_intervals_cover_95_percent() -> None:
    for seeds in (3, 5, 10):
        _, low, high = mean_interval(draw_null_studies(seeds)[:, 0] + 2)
        assert abs(((low <= 2) & (high >= 2)).mean() - 0.95) <= 0.015
    # Taken as if the spread were known, the interval of three is too short, and that is seen.
    values = draw_null_studies(3)[:, 0]
    half = 1.96 * values.std(-1, ddof=1) / 3**0.5
    assert (np.abs(values.mean(-1)) <= half).mean() < 0.935


def test_effect_intervals_cover_95_percent() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.8, 1, (400, 6))
    covered = [low <= 0.8 <= high for low, high in (effect_interval(v.mean() / v.std(ddof=1), 6) for v in values)]
    assert 0.925 <= np.mean(covered) <= 0.975


def test_a_detectable_difference_is_detected_in_four_of_five_studies() -> None:
    size = find_detectable(5, ALPHA / CHANGES)
    values = np.random.default_rng(0).normal(size, 1, (STUDIES, 5))
    assert abs((paired_t(values) <= ALPHA / CHANGES).mean() - 0.8) < 0.03


def test_tests_agree_with_their_definitions() -> None:
    values = np.random.default_rng(1).normal(0.5, 1, 7)
    assert paired_t(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=7)]
    assert sign_flips(values) == pytest.approx(np.mean(np.array(sums) >= abs(values.sum()) - 1e-12))
    assert sign_flips(np.arange(1.0, 6.0)) == 2 / 2**5
    with pytest.raises(ValueError, match="too many signs"):
        sign_flips(np.ones(17))


def test_differences_without_spread_make_no_certainty() -> None:
    assert paired_t(np.zeros(5)) == 1
    assert paired_t(np.full(5, 0.1)) == 2 / 2**5
    pair = compare_pairs(np.full(5, 1.1), np.ones(5))
    assert pair.effect is None and pair.detectable is None
    assert pair.difference == pytest.approx(0.1)


def test_claims() -> None:
    base = np.array([60.0, 61.0, 59.5, 60.5, 60.2, 60.9])
    noise = np.array([0.1, -0.2, 0.05, 0.15, -0.1, 0.02])
    better, worse, none = base + 3 + noise, base - 3 + noise, base + noise

    def say(count: int) -> list[str]:
        return [v.claim for v in judge([compare_pairs(s[:count], base[:count], 3) for s in (better, worse, none)])]

    assert say(6) == ["better", "worse", "open"]
    assert say(5) == ["better", "worse", "open"]
    # The same difference, as clear to the test, from too few seeds.
    assert say(4) == ["too few seeds"] * 3
    assert say(1) == ["too few seeds"] * 3
    # Among many changes the same p says less.
    weak = compare_pairs(base + np.array([1.0, 0.2, 0.9, 0.1, 0.8, 0.4]), base)
    assert weak.p_t is not None and 0.005 < weak.p_t < ALPHA
    assert judge([weak])[0].claim == "better"
    assert judge([weak, *[compare_pairs(none, base)] * 20])[0].claim == "open"
