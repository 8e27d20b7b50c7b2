"""How are answers written onto a picture?"""

from collections.abc import Sequence

from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont, ImageOps

MIN_SIDE, MAX_SIDE = 320, 2000


def annotate_image(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    """An RGB copy of the image with lines of text on a dark strip below it.

    Images narrower than 320 pixels are enlarged; text too long for the width is set smaller, then shortened.

    Args:
        image: any mode and size; rotated as its EXIF data say.
        lines: the text, from the top.
    """
    picture = ImageOps.exif_transpose(image).convert("RGB")
    scale = max(1.0, min(MIN_SIDE / picture.width, MAX_SIDE / picture.height))
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    width = max(picture.width, MIN_SIDE)
    size = max(14, round(min(width, 1.5 * picture.height) / 26))
    margin = round(0.6 * size)
    font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    widest = max((font.getlength(line) for line in lines), default=0.0)
    if widest > width - 2 * margin:
        size = max(11, int(size * (width - 2 * margin) / widest))
        font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    step = round(1.4 * size)
    strip = step * len(lines) + margin if lines else 0
    canvas = Image.new("RGB", (width, picture.height + strip), (24, 26, 30))
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        top = picture.height + margin // 2 + i * step
        draw.text((margin, top), _fit(line, font, width - 2 * margin), fill=(240, 240, 240), font=font)
    return canvas


def _fit(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
