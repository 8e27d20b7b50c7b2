"""How does a file become an upright RGB image, and what may a hostile or broken file not do? Needs no torch."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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
Kind = Literal["missing", "unreadable", "truncated", "oversized", "animated"]
"""Animated is refused only where one asks for a still picture."""
UNKNOWN_FORMAT = "it is in no image format known here"
ADVICE = "mend or remove it, or pass --bad-samples skip or quarantine"


class BadImageError(UserError):
    """An image that cannot be read. `kind` says why; the message names the file."""

    def __init__(self, path: Source, kind: Kind, why: str) -> None:
        super().__init__(f"image {path} is {kind}: {why}; {ADVICE}")
        self.path, self.kind, self.why = str(path), kind, why


@contextmanager
def open_image(path: Source, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = OPENABLE) -> Iterator[Image.Image]:
    """Open an image within bounds; what goes wrong here or while its pixels are read becomes a BadImageError."""
    try:
        with warnings.catch_warnings():
            # Pillow's own bound is lower than ours and only warns; its hard one stays.
            warnings.simplefilter("ignore")
            file = io.BytesIO(path.data) if isinstance(path, EncodedImage) else path
            with Image.open(file, formats=list(formats)) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise BadImageError(path, "oversized", f"{width}x{height} pixels, more than {max_pixels}")
                yield image
    except FileNotFoundError:
        raise BadImageError(path, "missing", "there is no such file") from None
    except Image.DecompressionBombError as error:
        raise BadImageError(path, "oversized", str(error).rstrip(".")) from None
    except UnidentifiedImageError:
        raise BadImageError(path, "unreadable", UNKNOWN_FORMAT) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        kind: Kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise BadImageError(path, kind, str(error) or type(error).__name__) from None


def load_image(
    path: Source, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = OPENABLE, still: bool = False
) -> Image.Image:
    """The first frame as an upright RGB image.

    The EXIF orientation is applied, transparent parts become white, 16-bit grey is scaled to 8 bits.

    formats: Pillow's names of those allowed; still: refuse a picture of several frames.

    Raises:
        BadImageError: a missing, unreadable, truncated or oversized file; one of another format, or an animated one.
    """
    with open_image(path, max_pixels, formats) as image:
        # A camera's MPO is one photograph with a second view or a depth map behind it.
        if still and image.format != "MPO" and getattr(image, "is_animated", False):
            raise BadImageError(path, "animated", "it has several frames")
        image.load()
        upright = turn_upright(path, image)
    return convert_rgb(upright)


def turn_upright(path: Source, image: Image.Image) -> Image.Image:
    """The image turned as its EXIF data say; raises BadImageError where those are damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except OSError:
        raise
    # Pillow writes the data again without the orientation, and fails on damaged ones in ways of every kind.
    except Exception as error:
        why = f"its EXIF data are damaged ({type(error).__name__}: {error})"
        raise BadImageError(path, "unreadable", why) from None


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


def prepare_image(image: Image.Image, image_size: int, crop_pct: float, interpolation: str) -> np.ndarray[Any, Any]:
    """Resize the short side to image_size / crop_pct, crop the centre; RGB image -> uint8 [3, S, S].

    This is the contract between a photograph and every exported network: Pillow's antialiased resize, sizes rounded
    as torchvision rounds them.

    Raises:
        UserError: an interpolation other than bicubic, bilinear and nearest.
    """
    try:
        resample = Image.Resampling[interpolation.upper()]
    except KeyError:
        raise UserError(f"interpolation '{interpolation}' is unknown; use 'bicubic', 'bilinear' or 'nearest'") from None
    short = round(image_size / crop_pct)
    width, height = image.size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    resized = image.resize((width, height), resample)
    left, top = round((width - image_size) / 2), round((height - image_size) / 2)
    cropped = resized.crop((left, top, left + image_size, top + image_size))
    return np.asarray(cropped).transpose(2, 0, 1)


def fit_size(height: int, width: int, short: int, long: int) -> tuple[int, int]:
    """The largest size of the same shape whose short side is at most `short` and whose long side at most `long`."""
    scale = min(short / min(height, width), long / max(height, width))
    return scale_size(height, width, scale)


def scale_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Rounded to whole pixels, one at least."""
    return max(1, round(height * scale)), max(1, round(width * scale))
