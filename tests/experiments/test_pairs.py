"""Are wins and losses counted, and is chance told from a difference as often as it should be?"""

import numpy as np
import pytest
from scipy.stats import binom

from rapidnet.experiments.pairs import Answers, bootstrap_difference, choose_disagreements, compare_answers, mcnemar


def answers(truth: str, named: str) -> Answers:
    return Answers(*(np.array(["abc".index(letter) for letter in text]) for text in (truth, named)))


FIRST, OTHER = answers("aaabbbccc", "aabbbaccc"), answers("aaabbbccc", "aaabcbcca")


def test_wins_losses_and_classes() -> None:
    row = compare_answers(FIRST, OTHER, ["a", "b", "c"])
    assert (row["images"], row["wins"], row["losses"]) == (9, 2, 2)
    assert row["difference"] == 0 and row["p"] == 1
    assert row["agreement"] == pytest.approx(100 * 5 / 9)
    assert [(facts["wins"], facts["losses"]) for facts in row["per_class"]] == [(1, 0), (1, 1), (0, 1)]
    assert row["interval"][0] < 0 < row["interval"][1]
    back = compare_answers(OTHER, FIRST, ["a", "b", "c"])
    assert (back["wins"], back["losses"]) == (2, 2)
    with pytest.raises(ValueError, match="different images"):
        compare_answers(FIRST, answers("aaabbbcca", "aaabbbccc"), ["a", "b", "c"])


def test_pictures_are_of_disagreements_in_turns() -> None:
    assert choose_disagreements(FIRST, OTHER, 24) == [2, 4, 5, 8]
    assert choose_disagreements(FIRST, OTHER, 1) == [2]
    assert choose_disagreements(FIRST, FIRST, 24) == []
    # Images come class by class; what is shown is of all of them.
    truth = "a" * 40 + "b" * 40 + "c" * 40
    chosen = choose_disagreements(answers(truth, "a" * 120), answers(truth, "bbcc" * 10 + "b" * 40 + "c" * 40), 12)
    assert len(chosen) == 12 and {truth[index] for index in chosen[0::2]} == {"b", "c"}
    assert [truth[index] for index in chosen[1::2]] == ["a"] * 6 and max(chosen) - min(chosen) > 100
    # Both wrong, each in its own way, comes last.
    assert choose_disagreements(answers("aab", "abb"), answers("aab", "acb"), 24) == [1]


def test_mcnemar_is_the_sign_test_of_the_images_that_differ() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(15, 5) == pytest.approx(2 * binom.cdf(5, 20, 0.5))
    rng = np.random.default_rng(0)
    wins = rng.binomial(60, 0.5, 2000)
    assert 0.02 < np.mean([mcnemar(int(w), int(60 - w)) <= 0.05 for w in wins]) <= 0.055
    # A difference there is found.
    assert np.mean([mcnemar(int(w), int(60 - w)) <= 0.05 for w in rng.binomial(60, 0.7, 200)]) > 0.8


def test_the_bootstrap_covers_the_true_difference() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(1000, [0.06, 0.04, 0.9], 400)
    covered = [
        low <= 2.0 <= high for low, high in (bootstrap_difference(int(w), int(lost), 1000) for w, lost, _ in drawn)
    ]
    assert 0.925 <= np.mean(covered) <= 0.975
    low, high = bootstrap_difference(0, 0, 100)
    assert (low, high) == (0, 0)
