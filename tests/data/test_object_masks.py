"""Do outlines become the pixels that pycocotools draws, and are hostile ones refused before anything is drawn?"""

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as reference

from rapidnet.data.object_masks import (
    MAX_MASK_BYTES,
    OutlineError,
    draw_shapes,
    encode_mask,
    measure_shape,
    read_shape,
)

# The reference was written for an older numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def random_polygons(rng: np.random.Generator, height: int, width: int) -> list[list[float]]:
    """One to three, some of them sticking out."""
    return [
        (rng.uniform(-0.2, 1.2, (int(rng.integers(3, 9)), 2)) * [width, height]).ravel().tolist()
        for _ in range(rng.integers(1, 4))
    ]


def test_polygons_are_drawn_as_the_reference_draws_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = rng.integers(1, 60, 2).tolist()
        polygons = random_polygons(rng, height, width)
        expected = reference.decode(reference.merge(reference.frPyObjects(polygons, height, width)))
        shape = read_shape(polygons, height, width)
        got = draw_shapes([shape], height, width)[0]
        assert np.array_equal(got, expected.astype(bool))
        assert measure_shape(shape, height, width) == expected.sum()


def test_run_lengths_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        height, width = rng.integers(1, 40, 2).tolist()
        mask = rng.random((height, width)) < rng.random()
        runs = encode_mask(mask)
        expected = reference.encode(np.asfortranarray(mask, dtype=np.uint8))
        assert runs == {"size": [height, width], "counts": expected["counts"]}
        if not mask.any():
            continue
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [flat[-1]]]).astype(np.int8)))
        counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        for segmentation in (runs | {"counts": runs["counts"].decode()}, {"size": [height, width], "counts": counts}):
            assert np.array_equal(draw_shapes([read_shape(segmentation, height, width)], height, width)[0], mask)


NO_OUTLINES: list[tuple[Any, str]] = [
    (None, "NoneType"), ("text", "str"), ([["a", 1]], "no list of numbers"), ([[1, 2, 3]], "in turn"),
    ([[[1, 2], [3, 4], [5, 6]]], "in turn"), ([[0, 0, 5, float("inf"), 5, 5]], "not a number"),
    ([[0, 0, 5, 1e5, 5, 5]], "farther"), ([[0, 0, 10**400, 1, 5, 5]], "no list of numbers"),
    ({"size": [10, 20]}, "no run lengths"), ({"counts": [200]}, "size is None"),
    ({"size": [10, 20], "counts": [100, 99]}, "add up to 199"), ({"size": [10, 20], "counts": [-1, 201]}, "whole"),
    ({"size": [10, 20], "counts": [1.5, 198.5]}, "whole"), ({"size": [10, 20], "counts": "\x01\x02"}, "cannot be read"),
    ({"size": [10, 20], "counts": "o" * 30}, "cannot be read"), ({"size": [20, 10], "counts": [200]}, "size is"),
]  # fmt: skip


@pytest.mark.parametrize(("segmentation", "words"), NO_OUTLINES)
def test_what_is_no_outline_is_refused(segmentation: Any, words: str) -> None:
    with pytest.raises(OutlineError, match=words) as error:
        read_shape(segmentation, 10, 20)
    assert not error.value.empty


@pytest.mark.parametrize("segmentation", [[], [[]], [[1, 1, 5, 5]], {"size": [10, 20], "counts": [200]}])
def test_nothing_to_draw_is_told_apart(segmentation: Any) -> None:
    with pytest.raises(OutlineError) as error:
        read_shape(segmentation, 10, 20)
    assert error.value.empty


def test_polygons_of_two_corners_are_passed_over_beside_a_whole_one() -> None:
    whole = [2, 2, 8, 2, 8, 8, 2, 8]
    both = draw_shapes([read_shape([[1, 1, 15, 9], whole], 10, 20)], 10, 20)
    assert np.array_equal(both, draw_shapes([read_shape([whole], 10, 20)], 10, 20))


def test_the_masks_of_one_picture_are_bounded() -> None:
    shape = read_shape([[0, 0, 5, 0, 5, 5]], 10, 20)
    with pytest.raises(OutlineError, match="more than"):
        draw_shapes([shape] * 2, 1 << 15, MAX_MASK_BYTES >> 15)
    assert draw_shapes([], 10, 20).shape == (0, 10, 20)
