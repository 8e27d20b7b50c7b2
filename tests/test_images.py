"""Does every readable file become an upright RGB image, and is every other one named with its reason?"""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from rapidnet.errors import UserError
from rapidnet.images import BadImageError, load_image, prepare_image


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


def test_damaged_exif_data_are_one_sentence(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72
    path = save(tmp_path, Image.new("RGB", (20, 10)), "a.jpg", exif=exif)
    data = path.read_bytes()
    assert load_image(path).size == (10, 20)
    # The resolution, a fraction, becomes a name, which Pillow cannot write again.
    path.write_bytes(data.replace(b"\x01\x1a\x00\x05", b"\x01\x0d\x00\x05"))
    with pytest.raises(BadImageError, match=r"a\.jpg is unreadable: its EXIF data are damaged"):
        load_image(path)


def test_animations_and_formats_can_be_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0))]
    for name in ("a.gif", "a.png", "a.webp"):
        path = save(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
        assert load_image(path).size == (8, 8)
        with pytest.raises(BadImageError, match="animated"):
            load_image(path, still=True)
    assert load_image(save(tmp_path, frames[0], "one.gif"), still=True).size == (8, 8)
    # A camera's second view does not make an animation.
    views = save(tmp_path, frames[0], "a.mpo", save_all=True, append_images=frames[1:])
    assert load_image(views, still=True).size == (8, 8)
    with pytest.raises(BadImageError, match="in no image format known here"):
        load_image(views, formats=("PNG",))


def test_the_bound_is_a_parameter(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("RGB", (20, 10)), "a.png")
    assert load_image(path, max_pixels=200).size == (20, 10)
    with pytest.raises(BadImageError, match="20x10"):
        load_image(path, max_pixels=199)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("size", [(83, 61), (61, 83), (500, 375), (333, 500), (32, 32), (37, 400), (20, 17)])
def test_preparing_equals_torchvision_to_the_last_bit(size: tuple[int, int], interpolation: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for image_size, crop_pct in ((32, 0.9), (32, 0.875), (29, 0.95), (32, 1.0)):
        reference = v2.Compose([
            v2.Resize(round(image_size / crop_pct), InterpolationMode(interpolation)),
            v2.CenterCrop(image_size),
            v2.PILToTensor(),
        ])  # fmt: skip
        image = Image.fromarray(pixels)
        got = prepare_image(image, image_size, crop_pct, interpolation)
        assert np.array_equal(got, reference(image).numpy())


def test_an_unknown_interpolation_is_refused() -> None:
    with pytest.raises(UserError, match="'area' is unknown"):
        prepare_image(Image.new("RGB", (8, 8)), 4, 1.0, "area")
