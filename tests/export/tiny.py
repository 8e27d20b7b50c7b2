"""What do the tests of every converter start from? A small network, captured, and its answers in float64."""

from copy import deepcopy

import numpy as np
import torch
from torch import nn

from conftest import TINY, randomize
from rapidnet.data.transforms import Preprocessing
from rapidnet.export.capture import Captured, InputSpec, capture
from rapidnet.models import create_model
from rapidnet.runtimes.network import Array

STATIC = InputSpec(64, 64)
VARYING = InputSpec(64, 128, max_batch=8)
KEPT = frozenset({"stem.0.conv", "stages.3.2.ffn.fc1.conv"})


def capture_tiny(spec: InputSpec = STATIC, act_layer: str = "gelu") -> Captured:
    model = randomize(create_model("rapidnet_ti", num_classes=10, act_layer=act_layer, **TINY))
    return capture(model, Preprocessing.from_model(model, spec.image_size), "classification", spec)


def draw_inputs(spec: InputSpec, count: int, size: int = 64, seed: int = 0) -> Array:
    """uint8 pixels, or normalised float32 where the network is raw: [count, 3, size, size]."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    return ((pixels - 120.0) / 60.0).astype(np.float32) if spec.raw else pixels


def answer_exactly(captured: Captured, inputs: Array) -> Array:
    """The captured module's own answer, in float64."""
    module = deepcopy(captured.module).double()
    images = torch.from_numpy(inputs)
    return module(images.double() if captured.spec.raw else images).numpy()


def change_dilation(captured: Captured) -> Captured:
    """The same network with one dilation of 3 made 2, as a careless converter might."""
    module = deepcopy(captured.module)
    conv = next(part for part in module.modules() if isinstance(part, nn.Conv2d) and part.dilation == (3, 3))
    conv.dilation = conv.padding = (2, 2)
    return Captured(captured.program, module, captured.example, captured.spec, captured.output)


def measure_sqnr(exact: Array, given: Array) -> float:
    """Signal to error, in dB."""
    return float(10 * np.log10(np.square(exact).sum() / np.square(exact - given).sum()))
