"""Is the text on a picture legible and the picture left alone?"""

import numpy as np
import pytest
from PIL import Image

from rapidnet.evaluation.annotate import annotate_image


@pytest.mark.parametrize("size", [(64, 64), (640, 427), (100, 1600), (1600, 20), (4000, 3000)])
def test_annotation_leaves_the_picture_and_adds_a_legible_strip(size: tuple[int, int]) -> None:
    result = annotate_image(Image.new("RGB", size, (200, 30, 30)), ["1. cat   93.2 %", "2. " + "very long " * 30])
    assert result.mode == "RGB" and result.width >= 320
    pixels = np.asarray(result)
    middle = pixels[:, result.width // 2]
    strip = int((middle[:, 0] < 200).sum())
    assert strip >= 2 * 14 and result.height - strip >= size[1]
    bright = pixels[-strip:].min(2) > 200
    assert bright.any() and not bright[:, -2:].any(), "the text is there and inside the picture"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_annotation_of_any_mode(mode: str) -> None:
    assert annotate_image(Image.new(mode, (350, 80)), ["cat"]).mode == "RGB"
    assert annotate_image(Image.new(mode, (350, 80)), []).size == (350, 80)
