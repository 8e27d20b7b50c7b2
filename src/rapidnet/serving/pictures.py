"""How do bytes from anybody become a picture, without more memory or time than a photograph needs?"""

from dataclasses import dataclass

from PIL import Image

from rapidnet.images import UNKNOWN_FORMAT, BadImageError, EncodedImage, load_image
from rapidnet.serving.refusals import RefusedError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""What cameras and browsers send; TIFF's many decoders are not for strangers' files."""
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/gif")
MAX_RATIO = 100
"""The long side over the short one; resizing a 1-pixel line to the network's height would take gigabytes."""
MAX_SCANS = 32
"""Passes over a progressive JPEG. Encoders make about ten; each costs as much time as a whole picture."""
START_OF_SCAN = b"\xff\xda"

CODES = {
    "oversized": "too_many_pixels", "animated": "animated_image", "truncated": "corrupt_image",
    "unreadable": "corrupt_image",
}  # fmt: skip


@dataclass(frozen=True)
class Upload:
    """A picture's bytes; `label` names it in errors: its place, and the name that the client gave it."""

    label: str
    data: bytes


def read_picture(upload: Upload, max_pixels: int) -> Image.Image:
    """The upright RGB picture; raises RefusedError."""
    data, label = upload.data, upload.label
    if data.startswith(b"\xff\xd8") and data.count(START_OF_SCAN) > MAX_SCANS:
        raise RefusedError("too_many_scans", f"{label} is a JPEG of more than {MAX_SCANS} scans", file=label)
    try:
        image = load_image(EncodedImage("picture", data), max_pixels, FORMATS, still=True)
    except BadImageError as error:
        if error.why == UNKNOWN_FORMAT:
            why = f"{label} is no picture in a format taken here ({', '.join(FORMATS)})"
            raise RefusedError("not_an_image", why, file=label) from error
        raise RefusedError(CODES[error.kind], f"{label} is {error.kind}: {error.why}", file=label) from error
    # Pillow's readers meet hostile files with exceptions of every kind.
    except Exception as error:
        raise RefusedError("corrupt_image", f"{label} cannot be read ({type(error).__name__})", file=label) from error
    if max(image.size) > MAX_RATIO * min(image.size):
        why = f"{label} is {image.width}x{image.height} pixels, one side more than {MAX_RATIO} times the other"
        raise RefusedError("elongated_image", why, file=label)
    return image
