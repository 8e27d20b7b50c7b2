"""Which operations does RandAugment draw, and how strong? timm's settings such as rand-m9-mstd0.5-inc1, on pixels.

timm itself reads the setting; drawing is separate from doing, so that both can be compared with timm's.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from timm.data.auto_augment import rand_augment_transform

from rapidnet.data import color_operations as colors
from rapidnet.data import motion_operations as motions
from rapidnet.data.color_operations import Pixels
from rapidnet.data.motion_operations import Color
from rapidnet.errors import UserError

Draw = tuple[str, float]
"""An operation by timm's name, and its strength in that operation's unit."""


def either_sign(value: float, rng: random.Random) -> float:
    return -value if rng.random() > 0.5 else value


def farther_from_one(level: float, rng: random.Random) -> float:
    return max(0.1, 1.0 + either_sign(level * 0.9, rng))


# timm's name -> strength from a level in [0, 1] (beyond, if the setting's mmax allows it); see its LEVEL_TO_ARG.
STRENGTHS: dict[str, Callable[[float, random.Random], float]] = {
    "AutoContrast": lambda level, rng: 0.0,
    "Equalize": lambda level, rng: 0.0,
    "Invert": lambda level, rng: 0.0,
    "Rotate": lambda level, rng: either_sign(level * 30, rng),
    "Posterize": lambda level, rng: int(level * 4),
    "PosterizeIncreasing": lambda level, rng: 4 - int(level * 4),
    "Solarize": lambda level, rng: min(256, int(level * 256)),
    "SolarizeIncreasing": lambda level, rng: 256 - min(256, int(level * 256)),
    "SolarizeAdd": lambda level, rng: min(128, int(level * 110)),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), lambda level, rng: level * 1.8 + 0.1),
    **dict.fromkeys(
        ("ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"), farther_from_one
    ),
    **dict.fromkeys(("ShearX", "ShearY"), lambda level, rng: either_sign(level * 0.3, rng)),
    **dict.fromkeys(("TranslateXRel", "TranslateYRel"), lambda level, rng: either_sign(level * 0.45, rng)),
    "Desaturate": lambda level, rng: 1 - min(1.0, 0.5 + 0.5 * level),
    "GaussianBlur": lambda level, rng: min(2.0, 0.1 + 1.9 * level),
}
COLORING: dict[str, Callable[[Pixels, float], Pixels]] = {
    "AutoContrast": colors.auto_contrast, "Equalize": colors.equalize, "Invert": colors.invert,
    "Posterize": colors.posterize, "Solarize": colors.solarize, "SolarizeAdd": colors.solarize_add,
    "Color": colors.change_color, "Contrast": colors.change_contrast, "Brightness": colors.change_brightness,
    "Sharpness": colors.change_sharpness, "Desaturate": colors.change_color, "GaussianBlur": colors.blur,
}  # fmt: skip
MOVING: dict[str, Callable[[Pixels, float, Color, str], Pixels]] = {
    "Rotate": motions.rotate, "ShearX": motions.shear_x, "ShearY": motions.shear_y,
    "TranslateXRel": motions.translate_x, "TranslateYRel": motions.translate_y,
}  # fmt: skip


class RandAugment:
    """Draws operations as a setting of timm says and does them.

    Args:
        setting: such as rand-m9-mstd0.5-inc1.
        fill: the colour of what a rotation, shear or translation uncovers.
        interpolation: 'bicubic', 'bilinear' or 'nearest', for the same.
    Raises:
        UserError: timm does not know the setting.
    """

    def __init__(self, setting: str, fill: Color, interpolation: str) -> None:
        try:
            parsed: Any = rand_augment_transform(setting, {"img_mean": fill})
        except (AssertionError, ValueError, KeyError) as error:
            raise UserError(
                f"augment.rand_augment '{setting}' is not a setting timm knows ({error}); "
                "write it like rand-m9-mstd0.5-inc1"
            ) from None
        self.operations: list[Any] = list(parsed.ops)
        self.count: int = parsed.num_layers
        self.weights: list[float] | None = None if parsed.choice_weights is None else parsed.choice_weights.tolist()
        self.fill, self.interpolation = fill, interpolation

    def apply(self, pixels: Pixels, name: str, strength: float) -> Pixels:
        """One operation by timm's name; looked up here so that a transform can be sent to a worker process."""
        kernel = name.removesuffix("Increasing")
        if kernel in MOVING:
            return MOVING[kernel](pixels, strength, self.fill, self.interpolation)
        return COLORING[kernel](pixels, strength)

    def draw(self, rng: random.Random) -> list[Draw]:
        """The operations for one image; each of `count` is drawn anew and then left out by its own probability."""
        drawn = []
        for operation in self._choose(rng):
            if operation.prob < 1.0 and rng.random() > operation.prob:
                continue
            magnitude, spread = float(operation.magnitude), operation.magnitude_std
            if spread == float("inf"):
                magnitude = rng.uniform(0, magnitude)
            elif spread > 0:
                magnitude = rng.gauss(magnitude, spread)
            magnitude = max(0.0, min(magnitude, operation.magnitude_max or 10.0))
            drawn.append((operation.name, STRENGTHS[operation.name](magnitude / 10.0, rng)))
        return drawn

    def _choose(self, rng: random.Random) -> list[Any]:
        if self.weights is None:
            return rng.choices(self.operations, k=self.count)
        # Weighted settings never draw an operation twice; these are exponential races, the smallest times win.
        times = [rng.expovariate(weight) for weight in self.weights]
        return [self.operations[i] for i in np.argsort(times)[: self.count]]

    def __call__(self, pixels: Pixels, rng: random.Random) -> Pixels:
        """uint8 [H, W, 3] -> uint8 [H, W, 3]."""
        for name, strength in self.draw(rng):
            pixels = self.apply(pixels, name, strength)
        return pixels
