"""What pictures come with the page? Samples of the built-in data and icons; written once, into web/public.

    python scripts/page_pictures.py

Samples: digits of the UCI Optical Recognition set (CC BY 4.0, through scikit-learn) over photographs that scikit-image
has from the public domain (CC0: cat, coffee, rocket), and the cat alone. Icons: a dilated kernel.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.builtin_objects import BuiltinObjects

PUBLIC = Path(__file__).parent.parent / "web" / "public"
SIDE, CAT_SIDE = 288, 360
# name -> which validation scene, of one digit or of several; those over CC0 photographs alone.
SCENES = {"four": 4, "two": 12}
OBJECTS = {"several": 27, "coffee": 11}

PAPER, INK = (11, 107, 87), (245, 244, 240)
# (places from the middle, radius, opacity): the taps of dilation 1 inside those of dilation 2.
TAPS = ((0, 7.5, 1.0), (14, 5.0, 0.9), (28, 6.0, 0.55))
GRID = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]


def write_samples(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = {name: BuiltinScenes("val", 100, SIDE).scene(index).image for name, index in SCENES.items()}
    images |= {name: BuiltinObjects("val", 100, SIDE, "detect").scene(index).image for name, index in OBJECTS.items()}
    cat = Image.fromarray(data.chelsea())
    images["cat"] = np.asarray(cat.resize((CAT_SIDE, round(CAT_SIDE * cat.height / cat.width))))
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / f"{name}.jpg", quality=85, optimize=True)


def list_dots() -> list[tuple[float, float, float, float]]:
    """(x, y, radius, opacity) on a square of 100."""
    (_, middle, solid), *rings = TAPS
    dots = [(50.0, 50.0, middle, solid)]
    return dots + [(50 + x * step, 50 + y * step, radius, opacity) for step, radius, opacity in rings for x, y in GRID]


def write_icons(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    circles = "".join(
        f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill-opacity="{opacity:g}"/>'
        for x, y, radius, opacity in list_dots()
    )
    paper, ink = ("#" + bytes(color).hex() for color in (PAPER, INK))
    (folder / "icon.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        f'<rect width="100" height="100" fill="{paper}"/><g fill="{ink}">{circles}</g></svg>\n',
        encoding="utf-8",
    )
    for side in (180, 192, 512):
        draw_icon(4 * side).resize((side, side), Image.Resampling.LANCZOS).save(
            folder / f"icon-{side}.png", optimize=True
        )


def draw_icon(side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), PAPER)
    pen = ImageDraw.Draw(image)
    for x, y, radius, opacity in list_dots():
        color = tuple(round(opacity * ink + (1 - opacity) * paper) for ink, paper in zip(INK, PAPER, strict=True))
        box = [
            (x - radius) * side / 100,
            (y - radius) * side / 100,
            (x + radius) * side / 100,
            (y + radius) * side / 100,
        ]
        pen.ellipse(box, fill=color)
    return image


if __name__ == "__main__":
    write_samples(PUBLIC / "samples")
    write_icons(PUBLIC / "icons")
