"""How does weather look on a picture? Snow, frost, fog and a bright day, computed: no photograph of them is needed."""

import numpy as np

from rapidnet.robustness.blurring import scale_length
from rapidnet.robustness.clouds import draw_clouds
from rapidnet.robustness.geometry import build_line, convolve, divide, enlarge, fix
from rapidnet.robustness.noise import WHITE
from rapidnet.robustness.randomness import ONE, Integers, Stream

FROST_COLOUR = (218, 232, 246)
"""Of thick frost, RGB."""


def snow(image: Integers, stream: Stream, share: float, flake: float, length: float, white: float) -> Integers:
    """Two layers of flakes that the wind draws out, in front of a picture whose light parts whiten.

    Args:
        share: of a layer's cells that hold a flake; flake: a cell's side; length: of a flake's trace; white: how far
            the picture turns to its whitened self.
    """
    size = image.shape[0]
    cells = max(8, round(size / max(1.0, scale_length(image, flake))))
    trace = build_line(max(1.5, scale_length(image, length)), 60 + int(stream.draw_below(61)))
    grey = image.sum(2, keepdims=True) // 3
    whitened = np.maximum(image, (3 * grey + WHITE) // 2)
    picture = image + divide(fix(white) * (whitened - image), ONE)
    for layer in (1, 2):
        # The second layer is farther away: smaller flakes.
        drawn = stream.draw_bits(16, cells * layer, cells * layer, 2)
        light = np.where(drawn[..., :1] < fix(share), 128 + drawn[..., 1:] % 128, 0)
        picture = picture + convolve(enlarge(light, size, size, smooth=True), trace)
    return picture


def frost(image: Integers, stream: Stream, picture: float, ice: float) -> Integers:
    """Crystals that grow in from the border: `picture` is the share of it that is left, `ice` that of what is added."""
    size = image.shape[0]
    mist = draw_clouds(stream, size, 0.6)
    crystals = np.zeros((size, size), np.int64)
    for coarsest in (4, 8, 16):
        # Where clouds pass through their middle value runs a thin line; lines of several scales are branches.
        line = ONE - 16 * abs(draw_clouds(stream, size, 0.55, coarsest) - ONE // 2)
        crystals = np.maximum(crystals, line * (line > 0))
    y = abs(2 * np.arange(size, dtype=np.int64) + 1 - size)
    # From 0 in the middle to ONE at the border.
    border = np.maximum(y[:, None], y[None]) * ONE // size
    reach = (border + mist) // 2
    cover = (reach * border >> 17) + (reach * crystals >> 16)
    layer = cover[..., None] * np.array(FROST_COLOUR, np.int64) >> 16
    return divide(fix(picture) * image + fix(ice) * layer, ONE)


def fog(image: Integers, stream: Stream, amount: float, roughness: float) -> Integers:
    """Clouds of `amount` times white in front, the whole darkened so that the brightest pixel stays as it was."""
    clouds = draw_clouds(stream, image.shape[0], roughness)[..., None]
    brightest = max(1, int(image.max()))
    thick = fix(amount)
    total = image + divide(divide(thick * clouds, ONE) * WHITE, ONE)
    return divide(total * brightest * ONE, brightest * ONE + thick * WHITE)


def brighten(image: Integers, stream: Stream, amount: float) -> Integers:
    """More of the V of HSV by a share of white: hue and saturation stay."""
    value = image.max(2, keepdims=True)
    brighter = np.minimum(WHITE * ONE, value * ONE + WHITE * fix(amount))
    scaled = image * brighter // np.maximum(value, 1)
    return divide(np.where(value == 0, brighter, scaled), ONE)
