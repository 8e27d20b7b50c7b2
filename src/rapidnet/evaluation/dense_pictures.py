"""What do detections and class masks look like on their picture? Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rapidnet.data.dense_records import IGNORE
from rapidnet.evaluation.dense_colors import pick_colors

Pixels = NDArray[np.uint8]

OPACITY = 0.5
MIN_SIDE, MAX_SIDE = 480, 2000
"""Smaller pictures are enlarged, so that their labels can be read, unless the longer side would exceed the second."""
CROWD_COLOR = (150, 150, 150)
STRIP, INK = (24, 26, 30), (240, 240, 240)


def draw_objects(image: Pixels, objects: Mapping[str, Any], classes: Sequence[str], least: float = 0.0) -> Image.Image:
    """The picture with boxes, class names, scores and, where there are any, masks; the surest on top,
    crowds below.

    Args:
        image: RGB uint8 [H, W, 3].
        objects: boxes [N, 4] in pixels and labels [N]; optionally scores [N] within [0, 1], masks bool [N, H, W] and
            iscrowd [N]: crowds are grey. Detections or targets.
        least: leave out what has a lower score.
    """
    boxes, labels = np.asarray(objects["boxes"]).reshape(-1, 4), np.asarray(objects["labels"]).reshape(-1)
    scores = np.asarray(objects["scores"]) if "scores" in objects else None
    crowds = np.asarray(objects.get("iscrowd", np.zeros(len(labels)))).astype(bool)
    colors = [
        (CROWD_COLOR if crowd else tuple(color))
        for color, crowd in zip(pick_colors(len(classes))[labels].tolist(), crowds, strict=True)
    ]
    order = np.argsort(~crowds if scores is None else scores, kind="stable")
    chosen = [index for index in order.tolist() if scores is None or scores[index] >= least]
    pixels = image
    for index in chosen if "masks" in objects else []:
        pixels = blend(pixels, np.asarray(objects["masks"][index]), colors[index])
    scale = _choose_scale(image)
    picture = _enlarge(pixels, scale)
    draw, font = ImageDraw.Draw(picture), load_font(max(12, round(min(picture.size) / 32)))
    for index in chosen:
        edges = [float(edge) * scale for edge in boxes[index]]
        name = classes[labels[index]] + (" (crowd)" if crowds[index] else "")
        text = name if scores is None else f"{name} {100 * scores[index]:.0f}%"
        _draw_box(draw, edges, text, colors[index], font, picture.size)
    return picture


def draw_classes(image: Pixels, mask: NDArray[Any], classes: Sequence[str]) -> Image.Image:
    """The picture under the colours of its pixels' classes, and a legend of those that occur, the largest first.

    Args:
        image: RGB uint8 [H, W, 3].
        mask: integers [H, W]; where it is 255 the picture stays as it is.
    """
    mask = np.asarray(mask)
    colors = pick_colors(len(classes))
    known = mask != IGNORE
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(classes)] = colors
    mixed = (1 - OPACITY) * image + OPACITY * table[mask.astype(np.uint8)]
    picture = _enlarge(np.where(known[..., None], mixed + 0.5, image).astype(np.uint8), _choose_scale(image))
    present, counts = np.unique(mask[known], return_counts=True)
    order = present[np.argsort(-counts, kind="stable")].tolist()
    entries = [
        (classes[label], tuple(colors[label].tolist()), 100 * int(counts[present == label][0]) / mask.size)
        for label in order
    ]
    return _add_legend(picture, entries)


def blend(image: Pixels, mask: NDArray[np.bool_], color: Sequence[int]) -> Pixels:
    """The picture with a colour over the pixels of a mask."""
    blended = image.copy()
    blended[mask] = ((1 - OPACITY) * image[mask] + OPACITY * np.asarray(color) + 0.5).astype(np.uint8)
    return blended


def load_font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib."""
    return ImageFont.truetype(findfont("DejaVu Sans"), size)


def _choose_scale(image: Pixels) -> float:
    height, width = image.shape[:2]
    return max(1.0, min(MIN_SIDE / min(height, width), MAX_SIDE / max(height, width)))


def _enlarge(pixels: Pixels, scale: float) -> Image.Image:
    picture = Image.fromarray(pixels)
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BICUBIC) if scale > 1 else picture


def _draw_box(
    draw: ImageDraw.ImageDraw, edges: list[float], text: str, color: tuple[int, ...], font: ImageFont.FreeTypeFont,
    size: tuple[int, int],
) -> None:  # fmt: skip
    left, top, right, bottom = edges
    # A box of a pixel is still to be seen.
    draw.rectangle(
        (left, top, max(right - 1, left + 1), max(bottom - 1, top + 1)),
        outline=color,
        width=max(2, round(font.size / 8)),
    )
    width, height = font.getlength(text) + 6, font.size + 5
    x = min(max(0.0, left), max(0.0, size[0] - width))
    y = top - height if top >= height else min(top, size[1] - height)
    draw.rectangle((x, y, x + width, y + height), fill=color)
    dark = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < 140
    draw.text((x + 3, y + 1), text, fill="white" if dark else "black", font=font)


def _add_legend(picture: Image.Image, entries: Sequence[tuple[str, tuple[int, ...], float]]) -> Image.Image:
    size = max(12, round(min(picture.size) / 32))
    font, step = load_font(size), round(1.5 * size)
    texts = [f"{name}  {share:.1f}%" for name, _, share in entries]
    width = max((font.getlength(text) for text in texts), default=0) + 3 * size
    columns = max(1, int(picture.width // width))
    rows = -(-len(entries) // columns)
    canvas = Image.new(
        "RGB", (max(picture.width, round(width)), picture.height + rows * step + (size if rows else 0)), STRIP
    )
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for index, (text, (_, color, _)) in enumerate(zip(texts, entries, strict=True)):
        x = size // 2 + (index % columns) * round(width)
        y = picture.height + size // 2 + (index // columns) * step
        draw.rectangle((x, y + 1, x + size, y + size + 1), fill=color, outline=INK)
        draw.text((x + round(1.5 * size), y), text, fill=INK, font=font)
    return canvas
