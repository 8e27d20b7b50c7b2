"""How do answers look beside the truth? A sheet of a few pictures, drawn as they come. Needs no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from rapidnet.data.dense_truth import Pixels
from rapidnet.evaluation.dense_pictures import STRIP, draw_classes, draw_objects, load_font

EXAMPLES = 6
WIDTH, GAP, HEADING = 560, 8, 26
"""Of a drawing, between two, and of the words above, in pixels of the sheet."""
LEAST = 0.5
"""Only detections at least so sure are drawn."""


class ExampleSheet:
    """Pairs of drawings, the truth at the left and the answer at the right, of pictures spread over the data.

    Args:
        count: how many pictures there are; EXAMPLES of them are drawn, or all.
    """

    def __init__(self, classes: Sequence[str], count: int) -> None:
        self.classes = list(classes)
        self.chosen = set(np.linspace(0, count - 1, min(EXAMPLES, count)).round().astype(int).tolist())
        self._pairs: list[list[Image.Image]] = []

    def add(self, index: int, pixels: Pixels, truth: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Draw the picture if it is one of those chosen."""
        if index not in self.chosen:
            return
        if "semantic" in answer:
            drawn = [draw_classes(pixels, side["semantic"], self.classes) for side in (truth, answer)]
        else:
            drawn = [draw_objects(pixels, truth, self.classes), draw_objects(pixels, answer, self.classes, LEAST)]
        self._pairs.append(
            [picture.resize((WIDTH, round(WIDTH * picture.height / picture.width))) for picture in drawn]
        )

    def draw(self) -> Image.Image:
        """The sheet; nothing but headings where no picture could be read."""
        heights = [max(picture.height for picture in pair) + GAP for pair in self._pairs]
        sheet = Image.new("RGB", (2 * WIDTH + GAP, HEADING + sum(heights)), STRIP)
        draw, font = ImageDraw.Draw(sheet), load_font(16)
        for column, heading in enumerate(("truth", "answer")):
            draw.text((column * (WIDTH + GAP) + 6, 3), heading, fill="white", font=font)
        top = HEADING
        for pair, height in zip(self._pairs, heights, strict=True):
            for column, picture in enumerate(pair):
                sheet.paste(picture, (column * (WIDTH + GAP), top))
            top += height
        return sheet
