"""Does every readable file become an upright RGB image, and is every other one named with its reason?"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rapidnet.data.decode import BadImageError, EncodedImage, decode_plain_jpeg, load_image, load_pixels, open_image


def save(tmp_path: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.bmp", "a.gif", "a.tiff", "a.ppm"])
def test_formats(tmp_path: Path, name: str) -> None:
    image = load_image(save(tmp_path, Image.new("RGB", (20, 10), (200, 20, 20)), name))
    assert (image.mode, image.size) == ("RGB", (20, 10))
    assert np.allclose(np.asarray(image)[5, 10], (200, 20, 20), atol=6)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert load_image(save(tmp_path, Image.new("RGB", (20, 10)), "a.jpg", exif=exif)).size == (10, 20)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("RGBA", (4, 4), (10, 10, 10, 0)), "a.png")
    assert np.asarray(load_image(path)).min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 10, 10, 200, 0, 0])
    assert np.asarray(load_image(save(tmp_path, palette, "p.png", transparency=0))).min() == 255


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    pixels = np.full((4, 4), 32768, dtype=np.uint16)
    assert np.asarray(load_image(save(tmp_path, Image.fromarray(pixels), "a.png")))[0, 0].tolist() == [128] * 3


def test_cmyk_and_grey(tmp_path: Path) -> None:
    for mode in ("CMYK", "L"):
        assert load_image(save(tmp_path, Image.new(mode, (8, 8)), "a.jpg")).mode == "RGB"


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0))]
    path = save(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(load_image(path))[0, 0].tolist() == [255, 0, 0]


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header promises width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    return path


def test_bad_files_are_named_with_their_kind(tmp_path: Path) -> None:
    whole = save(tmp_path, Image.effect_noise((200, 200), 90).convert("RGB"), "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    bomb(tmp_path / "bomb.png", 20_000, 10_000)
    bomb(tmp_path / "huge_bomb.png", 100_000, 100_000)
    kinds = {
        "cut.jpg": "truncated", "text.jpg": "unreadable", "empty.png": "unreadable", "bomb.png": "oversized",
        "huge_bomb.png": "oversized", "absent.png": "missing",
    }  # fmt: skip
    for name, kind in kinds.items():
        with pytest.raises(BadImageError, match=name) as error:
            load_image(tmp_path / name)
        assert error.value.kind == kind, name
        assert "\n" not in str(error.value)


def test_the_bound_is_a_parameter(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("RGB", (20, 10)), "a.png")
    assert load_image(path, max_pixels=200).size == (20, 10)
    with pytest.raises(BadImageError, match="20x10"):
        load_image(path, max_pixels=199)


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
