"""Which pictures are given to the page, good ones and others?"""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from skimage import data

ORIENTATIONS = (1, 3, 6, 8, 5)


def write_photographs(folder: Path) -> list[Path]:
    """JPEGs as cameras and programs write them: subsampled colours or not, turned by EXIF, grey, progressive, tall."""
    cat, coffee = Image.fromarray(data.chelsea()), Image.fromarray(data.coffee())
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 61, 3), dtype=np.uint8))
    writes = {
        "cat": (cat, {"quality": 90}),
        "coffee": (coffee, {"quality": 70, "subsampling": 0, "progressive": True}),
        "grey": (cat.convert("L").resize((200, 300)), {"quality": 80}),
        "noise": (noise, {"quality": 95, "subsampling": 2}),
    }
    for orientation in ORIENTATIONS:
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
        writes[f"turned{orientation}"] = (coffee.resize((240, 160)), {"quality": 88, "exif": exif})
    paths = []
    for name, (image, options) in writes.items():
        paths.append(folder / f"{name}.jpg")
        image.save(paths[-1], "JPEG", **options)
    return paths


def write_others(folder: Path) -> dict[str, Path]:
    """PNG with transparency, a still GIF, WebP without loss: what no JPEG decoder has a say in."""
    cat = Image.fromarray(data.chelsea()).resize((160, 120))
    clear = cat.convert("RGBA")
    clear.putalpha(Image.fromarray((np.indices((120, 160)).sum(0) % 256 // 128 * 255).astype(np.uint8)))
    saves = {"clear.png": clear, "palette.gif": cat.quantize(64), "lossless.webp": cat, "plain.bmp": cat}
    for name, image in saves.items():
        image.save(folder / name, **({"lossless": True} if name.endswith("webp") else {}))
    return {name: folder / name for name in saves}


def write_bad(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name -> a file that is none, and what the page's sentence has to say."""
    whole = io.BytesIO()
    Image.fromarray(data.chelsea()).save(whole, "JPEG")
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    contents = {
        "page.jpg": (b"<!doctype html><p>not found</p>" * 9, "text of markup"),
        "empty.jpg": (b"", "is empty"),
        "noise.png": (bytes(range(256)) * 9, "is not a picture"),
        "broken.png": (b"\x89PNG\r\n\x1a\n" + whole.getvalue()[:400], "damaged"),
        "short.jpg": (whole.getvalue()[:150], "damaged"),
        "bomb.png": (bomb.getvalue(), "30000 x 30000 pixels"),
        "scan.tif": (b"II*\0" + bytes(300), "TIFF"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: (folder / name, sentence) for name, (_, sentence) in contents.items()}
