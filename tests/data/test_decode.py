"""Is the fast path as exact, as bounded and as strict as Pillow's?"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rapidnet.data.decode import decode_plain_jpeg, load_pixels
from rapidnet.images import BadImageError, EncodedImage, load_image, open_image


def save(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def picture(mode: str = "RGB", size: tuple[int, int] = (83, 61)) -> Image.Image:
    rough = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).convert(mode)


PLAIN: dict[str, tuple[str, dict]] = {
    "4:2:0": ("RGB", {"subsampling": 2}), "4:2:2": ("RGB", {"subsampling": 1}), "4:4:4": ("RGB", {"subsampling": 0}),
    "progressive": ("RGB", {"progressive": True}), "grey": ("L", {}), "poor": ("RGB", {"quality": 5}),
    "without colour transform": ("RGB", {"keep_rgb": True}), "restart markers": ("RGB", {"restart_marker_rows": 1}),
}  # fmt: skip


def is_fast(path: Path) -> bool:
    with open_image(path) as image:
        return decode_plain_jpeg(image) is not None


def as_pillow_gives_it(path: Path) -> np.ndarray:
    return np.asarray(load_image(path)).transpose(2, 0, 1)


@pytest.mark.parametrize("kind", PLAIN)
def test_the_fast_path_gives_pillows_pixels(tmp_path: Path, kind: str) -> None:
    mode, options = PLAIN[kind]
    path = save(tmp_path, picture(mode), "a.jpg", **options)
    assert is_fast(path)
    pixels = load_pixels(path)
    assert np.array_equal(pixels.numpy(), as_pillow_gives_it(path))
    assert pixels.permute(1, 2, 0).is_contiguous()
    assert load_pixels(EncodedImage("a", path.read_bytes())).equal(pixels)


def test_what_is_not_plain_takes_pillows_path(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = Image.Exif()
    upright[0x0112] = 1
    paths = {
        save(tmp_path, picture(), "turned.jpg", exif=turned): False,
        save(tmp_path, picture(), "upright.jpg", exif=upright): True,
        save(tmp_path, picture("CMYK"), "cmyk.jpg"): False,
        save(tmp_path, picture(), "a.png"): False,
        save(tmp_path, picture("L"), "a.webp"): False,
    }
    for path, fast in paths.items():
        assert is_fast(path) == fast, path
        assert np.array_equal(load_pixels(path).numpy(), as_pillow_gives_it(path)), path
    assert load_pixels(tmp_path / "turned.jpg").shape == (3, 83, 61)


def test_the_fast_path_is_no_laxer_than_pillow(tmp_path: Path) -> None:
    """Cut and damaged files: either both refuse with the same kind, or both give the same pixels."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for progressive in (False, True):
        whole = save(tmp_path, picture(), "whole.jpg", progressive=progressive).read_bytes()
        damaged = [whole[:length] for length in rng.integers(1, len(whole), 60)] + [whole[:-1], whole[:-2]]
        for position, value in zip(rng.integers(0, len(whole), 120), rng.integers(0, 256, 120), strict=True):
            damaged.append(whole[:position] + bytes([value]) + whole[position + 1 :])
        for data in damaged:
            results = []
            for load in (load_pixels, load_image):
                try:
                    results.append(load(EncodedImage("damaged", data)))
                except BadImageError as error:
                    results.append(error.kind)
            fast, slow = results
            outcomes.add(slow if isinstance(slow, str) else "good")
            if isinstance(slow, str) or isinstance(fast, str):
                assert fast == slow
            else:
                assert np.array_equal(fast.numpy(), np.asarray(slow).transpose(2, 0, 1))
    assert {"good", "truncated", "unreadable"} <= outcomes


def test_the_bound_holds_on_the_fast_path(tmp_path: Path) -> None:
    path = save(tmp_path, picture(), "a.jpg")
    with pytest.raises(BadImageError, match="83x61"):
        load_pixels(path, max_pixels=83 * 61 - 1)
