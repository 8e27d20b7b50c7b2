"""Are the corruptions the ones that are defined, bit for bit, everywhere, and what their names say?"""

import hashlib
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest

from rapidnet.config.robustness import KINDS as CONFIG_KINDS
from rapidnet.images import prepare_image
from rapidnet.robustness import blurring, noise
from rapidnet.robustness.corruptions import KINDS, PUBLISHED, SEVERITIES, corrupt
from rapidnet.robustness.geometry import build_disk, build_line, convolve, enlarge, sample, shrink, transform
from rapidnet.robustness.golden import FINGERPRINTS, compute_fingerprint, draw_golden, find_deviations
from rapidnet.robustness.randomness import ONE, Stream, tabulate_normal


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    import skimage.data
    from PIL import Image

    return prepare_image(Image.fromarray(skimage.data.coffee()), 112, 0.95, "bicubic")


def test_the_kinds_are_those_of_the_command() -> None:
    assert tuple(KINDS) == CONFIG_KINDS == tuple(FINGERPRINTS)
    assert len(PUBLISHED) == 15
    assert all(len(kind.values) == 5 and {len(v) for v in kind.values} == {len(kind.names)} for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_golden_pictures_have_their_fingerprints(kind: str) -> None:
    assert compute_fingerprint(kind) == FINGERPRINTS[kind]


def test_another_process_makes_the_same_bits(photograph: np.ndarray) -> None:
    code = (
        "import hashlib, sys, numpy as np; sys.argv = ['rapidnet']\n"
        "from rapidnet.robustness.corruptions import KINDS, corrupt\n"
        "pixels = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(3, 112, 112)\n"
        "for kind in KINDS: print(hashlib.sha256(corrupt(pixels, kind, 3, 11, 2).tobytes()).hexdigest())\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], input=photograph.tobytes(), capture_output=True, check=True)
    ours = [hashlib.sha256(corrupt(photograph, kind, 3, 11, 2).tobytes()).hexdigest() for kind in KINDS]
    assert done.stdout.decode().split() == ours


def test_a_changed_bit_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_deviations(["gaussian_noise", "contrast"]) == []
    table = tabulate_normal().copy()
    table[40_000:40_020] += ONE // 2
    monkeypatch.setattr("rapidnet.robustness.randomness.tabulate_normal", lambda: table)
    assert find_deviations(["gaussian_noise", "contrast"]) == ["gaussian_noise"]


@pytest.mark.parametrize("kind", KINDS)
def test_more_severe_is_farther_from_the_picture(kind: str, photograph: np.ndarray) -> None:
    before = photograph.copy()
    made = [corrupt(photograph, kind, severity, index=3) for severity in SEVERITIES]
    assert (photograph == before).all()
    assert all(one.shape == photograph.shape and one.dtype == np.uint8 for one in made)
    distances = [np.abs(one.astype(int) - photograph).mean() for one in made]
    assert distances[0] > 1
    assert distances[4] > 1.1 * distances[0]


def test_randomness_follows_from_seed_picture_kind_and_severity(photograph: np.ndarray) -> None:
    first = corrupt(photograph, "gaussian_noise", 2, index=5, seed=1)
    assert (corrupt(photograph, "gaussian_noise", 2, index=5, seed=1) == first).all()
    for other in ({"index": 6, "seed": 1}, {"index": 5, "seed": 2}):
        assert (corrupt(photograph, "gaussian_noise", 2, **other) != first).mean() > 0.9


def test_distributions() -> None:
    stream = Stream("test")
    normal = stream.draw_normal(400_000) / ONE
    assert normal.mean() == pytest.approx(0, abs=0.01)
    assert normal.std() == pytest.approx(1, abs=0.01)
    which = np.repeat(np.arange(3), 200_000)
    counts = stream.draw_poisson((Decimal(0), Decimal("0.5"), Decimal(60)), which).reshape(3, -1)
    assert counts.mean(1) == pytest.approx([0, 0.5, 60], rel=0.01)
    assert counts.var(1) == pytest.approx([0, 0.5, 60], rel=0.02)
    assert (counts[1] == 0).mean() == pytest.approx(np.exp(-0.5), abs=0.005)
    drawn = stream.draw_below(7, 70_000)
    assert np.bincount(drawn, minlength=7) == pytest.approx([10_000] * 7, rel=0.05)


def test_geometry_is_what_its_names_say() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (24, 24, 3))
    flat = np.full((24, 24, 3), 77)
    for kernel in (build_disk(3.3), build_line(9, 30)):
        assert (convolve(flat, kernel) == 77).all(), "a mean of equals is the same"
    assert build_disk(6).sum() / build_disk(6).max() == pytest.approx(np.pi * 36, rel=0.01)
    assert (transform(image, (1, 0, 0, 1)) == image).all()
    assert (transform(image, (-1, 0, 0, -1)) == image[::-1, ::-1]).all()
    assert (transform(image, (0, 1, -1, 0)) == np.rot90(image)).all()
    halves = np.full((24, 24), ONE // 2)
    assert (sample(flat, halves, halves) == 77).all()
    means = image.reshape(12, 2, 12, 2, 3).mean((1, 3))
    assert np.abs(shrink(image, 12, 12) - means).max() <= 0.5
    assert (enlarge(image[:12, :12], 24, 24, smooth=False) == image[:12, :12].repeat(2, 0).repeat(2, 1)).all()
    assert (shrink(flat, 7, 5) == 77).all()
    assert (enlarge(flat[:5, :7], 24, 24, smooth=True) == 77).all()


def test_noise_and_blur_have_their_parameters() -> None:
    grey = np.full((96, 96, 3), 128, np.int64)
    noisy = noise.add_gaussian(grey, Stream("a"), 0.08)
    assert (noisy - grey).std() == pytest.approx(0.08 * 255, rel=0.03)
    assert (noise.add_shot(grey, Stream("a"), 60) / 255 * 60).var() == pytest.approx(60 * 128 / 255, rel=0.05)
    assert (noise.add_impulses(grey, Stream("a"), 0.27) != grey).mean() == pytest.approx(0.27, abs=0.01)
    dot = np.zeros((224, 224, 1), np.int64)
    dot[112, 112] = 255 * 1000
    disk = blurring.defocus(dot, Stream("a"), 8)
    assert (disk > disk.max() / 2).sum() == pytest.approx(np.pi * 64, rel=0.05)
    assert draw_golden().shape == (3, 64, 64)
