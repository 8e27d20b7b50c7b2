"""How does a file become a tensor of pixels, faster than through Pillow where the pixels are the same?"""

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from rapidnet.images import MAX_PIXELS, Source, convert_rgb, open_image


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
