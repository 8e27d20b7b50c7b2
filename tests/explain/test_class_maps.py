"""Do maps find what an answer rests on, and does the measure of them expose one that does not?"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import rankdata

from rapidnet.explain.faithfulness import (
    correlate,
    measure_areas,
    measure_baselines,
    rank_pixels,
    summarize_areas,
)
from rapidnet.explain.gradient_free import draw_mask, draw_random_map, explain_by_masks, list_windows, occlude

SIZE = 36
FILL = np.full((3, 1, 1), 100, np.uint8)
SEEN = (slice(4, 14), slice(20, 30))
"""Where the class of these tests is."""


def predict(pixels: np.ndarray) -> np.ndarray:
    """A classifier of two classes that looks at SEEN alone: sure of the second where that is bright."""
    bright = pixels[(slice(None), slice(None), *SEEN)].mean((1, 2, 3)) / 255
    return np.stack([1 - bright, bright], 1)


def draw_picture(seed: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(60, 140, (3, SIZE, SIZE)).astype(np.uint8)
    pixels[(slice(None), *SEEN)] = 250
    return pixels


def map_by_occlusion(pixels: np.ndarray) -> np.ndarray:
    return occlude(predict, pixels, 1, FILL, 16)


def map_by_masks(pixels: np.ndarray) -> np.ndarray:
    return explain_by_masks(predict, pixels, 1, FILL, 64, 600, seed=0)


@pytest.mark.parametrize("explain", [map_by_occlusion, map_by_masks])
def test_the_place_is_found(explain: Callable[[np.ndarray], np.ndarray]) -> None:
    shown = explain(draw_picture(0))
    y, x = np.unravel_index(shown.argmax(), shown.shape)
    assert 4 <= y < 14 and 20 <= x < 30
    outside = shown.copy()
    outside[SEEN] = np.nan
    assert shown[SEEN].mean() > np.nanmean(outside) + 0.3 * np.nanstd(shown)


def test_occlusion_by_hand() -> None:
    """A network that reads one pixel loses something exactly in the windows over it."""

    def read_one(pixels: np.ndarray) -> np.ndarray:
        value = pixels[:, 0, 10, 17] / 250
        return np.stack([1 - value, value], 1)

    pixels = draw_picture(0)
    pixels[0, 10, 17] = 250
    shown = occlude(read_one, pixels, 1, FILL, 7)
    covering = [w for w in list_windows(SIZE) if w[0].start <= 10 < w[0].stop and w[1].start <= 17 < w[1].stop]
    reached = np.zeros((SIZE, SIZE), bool)
    for window in covering:
        reached[window] = True
    assert shown[10, 17] == pytest.approx(0.6), "hidden in all windows over it, from 250 to 100"
    assert ((shown > 0) == reached).all()


@pytest.mark.parametrize("size", [7, 32, 96])
def test_windows_and_masks_cover_all_places_alike(size: int) -> None:
    count = np.zeros((size, size))
    for window in list_windows(size):
        count[window] += 1
    assert count.min() >= 1
    rng = np.random.default_rng(0)
    masks = np.stack([draw_mask(size, rng) for _ in range(400)])
    assert masks.min() >= 0 and masks.max() <= 1
    assert masks.mean(0).min() > 0.4 and masks.mean(0).max() < 0.6


def judge(explain: Callable[[np.ndarray, int], np.ndarray], pictures: int = 16) -> dict:
    areas, random = [], []
    for number in range(pictures):
        pixels = draw_picture(number)
        areas.append(measure_areas(predict, pixels, 1, FILL, explain(pixels, number), number, 16))
        random.append(measure_baselines(predict, pixels, 1, FILL, number, 16)["random"])
    return summarize_areas(areas, random)


def test_a_right_map_is_told_from_one_that_says_nothing_and_one_that_is_wrong() -> None:
    right = judge(lambda pixels, number: map_by_occlusion(pixels))
    assert right["says_something"] is True
    both = right["gains"]["deletion"]["gain"] + right["gains"]["insertion"]["gain"]
    assert right["gains"]["overall"]["gain"] == pytest.approx(both)
    assert right["gains"]["deletion"]["interval"][0] > 0 and right["gains"]["insertion"]["interval"][0] > 0
    nothing = judge(lambda pixels, number: draw_random_map(SIZE, np.random.default_rng(1000 + number)))
    assert nothing["says_something"] is False
    wrong = judge(lambda pixels, number: -map_by_occlusion(pixels))
    assert wrong["says_something"] is False and wrong["gains"]["insertion"]["interval"][1] < 0


def test_areas_by_hand() -> None:
    """The probability falls in a straight line while the place is hidden, and stays at the fill's."""
    shown = np.zeros((SIZE, SIZE))
    shown[SEEN] = 1
    pixels = draw_picture(0)
    share, high, low = 100 / SIZE**2, 250 / 255, 100 / 255
    expected = share * (high + low) / 2 + (1 - share) * low
    assert measure_areas(predict, pixels, 1, FILL, shown, 0, 16)["deletion"] == pytest.approx(expected, abs=0.01)


def test_equal_values_come_in_random_order() -> None:
    flat = np.zeros((8, 8))
    one, other = rank_pixels(flat, 0), rank_pixels(flat, 1)
    assert sorted(one.ravel()) == list(range(64)) and (one != other).any()
    assert (one != np.arange(64).reshape(8, 8)).any()
    rising = np.arange(64.0).reshape(8, 8)
    assert (rank_pixels(rising, 0) == 63 - rising).all()


def test_similarity_is_of_ranks() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((6, 6)), rng.random((6, 6))
    by_hand = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    assert correlate(one, other) == pytest.approx(by_hand)
    assert correlate(one, np.exp(9 * one)) == pytest.approx(1) and correlate(one, -one) == pytest.approx(-1)
    assert correlate(one, np.ones((6, 6))) is None


def test_one_picture_says_nothing_of_others() -> None:
    facts = summarize_areas([{"deletion": 0.1, "insertion": 0.9}], [{"deletion": 0.5, "insertion": 0.5}])
    assert facts["says_something"] is None and facts["gains"] == {}
