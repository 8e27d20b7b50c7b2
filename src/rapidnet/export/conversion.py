"""What is a converter given, and what does it hand back?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from rapidnet.export.capture import Captured
from rapidnet.runtimes.network import Array

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Conversion:
    """One artifact to be made.

    captured: the network; precision: of weights (fp16) or of weights and activations (int8).
    calibration: for int8, training images as the artifact takes them, [N, 3, S, S]; None otherwise.
    keep_float: for int8, modules of the folded network (names within `captured.module.network`, such as
    "stages.2.3.ffn.fc1.conv") whose convolutions stay in floating point.
    """

    captured: Captured
    precision: Precision
    calibration: Array | None = None
    keep_float: frozenset[str] = field(default_factory=frozenset)

    def portions(self, images: int = 1) -> list[Array]:
        """The calibration images, [`images`, 3, S, S] at a time or as many as the artifact always takes.

        A last portion that would be short begins with the first images again where the number is fixed.
        """
        assert self.calibration is not None
        pixels, fixed = self.calibration, self.captured.spec.batch
        step = fixed or images
        if fixed:
            pixels = np.resize(pixels, (-(-len(pixels) // fixed) * fixed, *pixels.shape[1:]))
        return [pixels[start : start + step] for start in range(0, len(pixels), step)]


Converter = Callable[[Conversion, Path], dict[str, Any]]
"""(conversion, path of the artifact to write) -> what should be said of it in the card; raises UserError."""


def expect_structure(conversion: Conversion) -> dict[str, Any]:
    """What `check_structure` holds an artifact against: counted in the folded network, not in any file."""
    layers = list(conversion.captured.module.network.modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    dilated = [list(layer.dilation) for layer in convolutions if set(layer.dilation) != {1}]
    products = sum(isinstance(layer, nn.Linear) for layer in layers)
    total = len(convolutions) + products
    return {"convolutions": total, "dilations": sorted(dilated), "kept_float": len(conversion.keep_float)}
