"""What is a converter given, and what does it hand back?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
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
    """What `check_structure` holds an artifact against: counted in the folded network, not in any file.

    A layer counts as often as it is called: one that all levels of a pyramid share is in a graph once for each.
    """
    captured = conversion.captured
    called: list[nn.Module] = []
    layers = [layer for layer in captured.module.network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    handles = [layer.register_forward_hook(lambda layer, *_: called.append(layer)) for layer in layers]
    with torch.inference_mode():
        captured.module(captured.example)
    for handle in handles:
        handle.remove()
    rates = [list(layer.dilation) for layer in called if isinstance(layer, nn.Conv2d)]
    dilated, total = [rate for rate in rates if set(rate) != {1}], len(called)
    return {"convolutions": total, "dilations": sorted(dilated), "kept_float": len(conversion.keep_float)}
