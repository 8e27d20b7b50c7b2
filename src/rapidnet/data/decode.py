"""How does a file become an upright RGB image, and what may a hostile or broken file not do?"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from rapidnet.errors import UserError

# Pillow's name of a format -> the endings its files carry. Formats whose decoders call other programs are left out.
FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm"),
}
IMAGE_EXTENSIONS = frozenset(ending for endings in FORMATS.values() for ending in endings)
# Pillow registers its formats on first use, which two threads at once get wrong; MPO comes in through JPEG.
Image.init()
OPENABLE = tuple(name for name in FORMATS if name in Image.OPEN)
MAX_PIXELS = 100_000_000
"""A larger picture is refused before its pixels are decoded: its header may promise more than the memory holds."""


@dataclass(frozen=True)
class EncodedImage:
    """The bytes of an image that has no file of its own, such as a member of a tar; `name` is for messages."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


Source = str | Path | EncodedImage
"""Where an image's bytes come from."""
Kind = Literal["missing", "unreadable", "truncated", "oversized"]


class BadImageError(UserError):
    """An image that cannot be read. `kind` says why; the message names the file."""

    def __init__(self, path: Source, kind: Kind, why: str) -> None:
        super().__init__(f"image {path} is {kind}: {why}; mend or remove it, or pass --bad-samples skip or quarantine")
        self.path, self.kind = str(path), kind


@contextmanager
def open_image(path: Source, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image within bounds; what goes wrong here or while its pixels are read becomes a BadImageError."""
    try:
        with warnings.catch_warnings():
            # Pillow's own bound is lower than ours and only warns; its hard one stays.
            warnings.simplefilter("ignore")
            file = io.BytesIO(path.data) if isinstance(path, EncodedImage) else path
            with Image.open(file, formats=OPENABLE) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise BadImageError(path, "oversized", f"{width}x{height} pixels, more than {max_pixels}")
                yield image
    except FileNotFoundError:
        raise BadImageError(path, "missing", "there is no such file") from None
    except Image.DecompressionBombError as error:
        raise BadImageError(path, "oversized", str(error).rstrip(".")) from None
    except UnidentifiedImageError:
        raise BadImageError(path, "unreadable", "it is in no image format known here") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        kind: Kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise BadImageError(path, kind, str(error) or type(error).__name__) from None


def load_image(path: Source, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The first frame as an upright RGB image.

    The EXIF orientation is applied, transparent parts become white, 16-bit grey is scaled to 8 bits.

    Raises:
        BadImageError: a missing, unreadable, truncated or oversized file.
    """
    with open_image(path, max_pixels) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    return convert_rgb(upright)


def load_pixels(path: Source, max_pixels: int = MAX_PIXELS) -> Tensor:
    """What `load_image` gives, as uint8 [3, H, W] in channels-last memory.

    A plain JPEG skips Pillow's detour over four bytes a pixel; the same library decodes it to the same pixels.

    Raises:
        BadImageError: a missing, unreadable, truncated or oversized file.
    """
    with open_image(path, max_pixels) as image:
        pixels = decode_plain_jpeg(image)
        if pixels is not None:
            return pixels
        image.load()
        upright = ImageOps.exif_transpose(image)
    return torch.from_numpy(np.array(convert_rgb(upright))).permute(2, 0, 1)


def decode_plain_jpeg(image: Image.Image) -> Tensor | None:
    """uint8 [3, H, W] of an upright RGB or grey JPEG whose header alone was read; None if Pillow has to decide."""
    file = getattr(image, "fp", None)
    if file is None or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return None
    file.seek(0)
    try:
        pixels: Tensor = decode_jpeg(torch.frombuffer(bytearray(file.read()), dtype=torch.uint8), ImageReadMode.RGB)
    except RuntimeError:
        # Whether such a file is truncated, unreadable or good after all is said by one decoder only.
        return None
    return pixels if pixels.shape[1:] == (image.height, image.width) else None


def convert_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB, without Pillow's clipping of 16-bit values and its black behind transparency."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
