"""Does RandAugment draw what timm draws, and does every operation give Pillow's pixels?"""

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment
from timm.data.auto_augment import rand_augment_transform

from rapidnet.data.motion_operations import slide
from rapidnet.data.rand_augment import STRENGTHS, RandAugment
from rapidnet.errors import UserError

SETTING = "rand-m9-mstd0.5-inc1"
FILL = (124, 116, 104)
EVERY = [SETTING, "rand-m9-mstd0.5", "rand-m7-n3-t3a-inc1", "rand-m9-mstd101-mmax20-inc1", "rand-m5-tweights-p0.8"]


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Smooth pictures with noise and hard edges; one not square, one of a single colour."""
    rng = np.random.default_rng(0)
    made = []
    for width, height in ((96, 96), (97, 64), (40, 81)):
        rough = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
        pixels = np.array(rough.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
        pixels[height // 3 :, : width // 4] = 250
        made.append(Image.fromarray((pixels + rng.integers(-20, 21, pixels.shape)).clip(0, 255).astype(np.uint8)))
    return [*made, Image.new("RGB", (50, 30), (10, 200, 90))]


def with_pillow(name: str, strength: float, picture: Image.Image, resample: Image.Resampling) -> np.ndarray:
    """What timm's own operation makes of a picture."""
    arguments = (strength,) if auto_augment.LEVEL_TO_ARG[name] else ()
    if name == "Desaturate":
        arguments = (1 - strength,)
    return np.array(auto_augment.NAME_TO_OP[name](picture, *arguments, fillcolor=FILL, resample=resample))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("setting", [SETTING, "rand-m9-mstd0.5", "rand-t3a"])
def test_pixels_are_pillows_to_one_level(pictures: list[Image.Image], setting: str, interpolation: str) -> None:
    augment = RandAugment(setting, FILL, interpolation)
    rng = random.Random(1)
    for operation in augment.operations:
        for level in (0.0, 0.1, 0.5, 0.9, 0.95, 1.0, 1.0):
            strength = STRENGTHS[operation.name](level, rng)
            if operation.name.startswith("Posterize") and strength == 0:
                continue
            for picture in pictures:
                before = np.array(picture)
                got = augment.apply(before, operation.name, strength)
                expected = with_pillow(operation.name, strength, picture, Image.Resampling[interpolation.upper()])
                assert np.array_equal(before, np.array(picture)), f"{operation.name} changed its input"
                difference = np.abs(got.astype(int) - expected)
                # nearest falls to either side of a tie: a few pixels may be the neighbour's.
                if interpolation == "nearest" and difference.max() > 1:
                    assert np.mean(difference > 1) < 0.01, (operation.name, strength)
                else:
                    assert difference.max() <= 1, (operation.name, strength, picture.size)


def test_the_comparison_sees_another_kernel_and_another_shift(pictures: list[Image.Image]) -> None:
    pixels = np.array(pictures[0])
    expected = with_pillow("ShearX", 0.2, pictures[0], Image.Resampling.BICUBIC).astype(int)
    shift = 0.2 * (np.arange(96) + 0.5)
    assert np.abs(slide(pixels, shift, 1, FILL, "bicubic") - expected).max() <= 1
    for wrong in (slide(pixels, shift, 1, FILL, "bilinear"), slide(pixels, shift + 0.1, 1, FILL, "bicubic")):
        assert np.abs(wrong - expected).max() > 4


def test_no_bits_are_black() -> None:
    """Pillow 13 refuses this, and with it timm's RandAugment fails on one image in a thousand."""
    augment = RandAugment(SETTING, FILL, "bicubic")
    assert STRENGTHS["PosterizeIncreasing"](1.0, random.Random(0)) == 0
    assert augment.apply(np.full((4, 4, 3), 255, dtype=np.uint8), "PosterizeIncreasing", 0).max() == 0


def spy_on_timm(setting: str, count: int) -> list[list[tuple[str, float]]]:
    """What timm draws for `count` images, its operations replaced by ones that only note their strength."""
    noted: list[list[tuple[str, float]]] = []
    transform = rand_augment_transform(setting, {"img_mean": FILL})

    def note(name: str) -> Callable[..., None]:
        return lambda image, strength=0.0, **_: noted[-1].append((name, float(strength)))

    for operation in transform.ops:
        operation.aug_fn = note(operation.name)
    random.seed(0)
    np.random.seed(0)
    for _ in range(count):
        noted.append([])
        transform(None)
    return noted


@pytest.mark.parametrize("setting", EVERY)
def test_draws_are_distributed_as_timms(setting: str) -> None:
    count = 12_000
    theirs = spy_on_timm(setting, count)
    augment, rng = RandAugment(setting, FILL, "bicubic"), random.Random(0)
    ours = [augment.draw(rng) for _ in range(count)]
    lengths = [Counter(map(len, draws)) for draws in (ours, theirs)]
    names = [Counter(name for draw in draws for name, _ in draw) for draws in (ours, theirs)]
    for mine, timms in (lengths, names):
        assert mine.keys() == timms.keys()
        for key in timms:
            # Five standard deviations of the difference of two counts.
            assert abs(mine[key] - timms[key]) < 5 * (mine[key] + timms[key]) ** 0.5 + 5, key
    for name in names[1]:
        values = [sorted(s for draw in draws for n, s in draw if n == name) for draws in (ours, theirs)]
        if name == "Desaturate":
            values[1] = sorted(1 - value for value in values[1])
        assert distance(*values) < 2 * (1 / len(values[0]) + 1 / len(values[1])) ** 0.5, name


def distance(first: list[float], second: list[float]) -> float:
    """Kolmogorov and Smirnov's: the largest difference between two samples' distribution functions."""
    points = np.unique(np.round(first + second, 9))
    shares = [np.searchsorted(np.round(values, 9), points, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def test_the_distributions_comparison_sees_another_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = spy_on_timm(SETTING, 12_000)
    augment, rng = RandAugment("rand-m8-mstd0.5-inc1", FILL, "bicubic"), random.Random(0)
    ours = [augment.draw(rng) for _ in range(12_000)]
    values = [sorted(s for draw in draws for n, s in draw if n == "Rotate") for draws in (ours, theirs)]
    assert distance(*values) > 2 * (1 / len(values[0]) + 1 / len(values[1])) ** 0.5


def test_unknown_setting() -> None:
    with pytest.raises(UserError, match="rand-m9"):
        RandAugment("m9-what", FILL, "bicubic")
