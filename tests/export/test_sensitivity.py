"""Is the layer that suffers most from int8 found?"""

import numpy as np
import torch

import rapidnet
from conftest import TINY, randomize
from rapidnet.data.transforms import Preprocessing
from rapidnet.export.capture import InputSpec, capture
from rapidnet.export.sensitivity import measure_layers, round_activation, round_weight


def test_the_worst_layer_comes_first() -> None:
    model = randomize(rapidnet.create_model("rapidnet_ti", num_classes=4, **TINY))
    captured = capture(model, Preprocessing.from_model(model, 32), "classification", InputSpec(32, 32))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    before = [parameter.clone() for parameter in captured.module.parameters()]
    noises = measure_layers(captured.module, pixels)
    assert all(torch.equal(a, b) for a, b in zip(before, captured.module.parameters(), strict=True))
    layers = [name for name, m in captured.module.network.named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert sorted(noise.layer for noise in noises) == sorted(layers)
    assert [noise.sqnr_db for noise in noises] == sorted(noise.sqnr_db for noise in noises)
    assert noises == measure_layers(captured.module, pixels)
    # One channel of a layer's input far out of the others' range leaves the rest few levels.
    victim = dict(captured.module.network.named_modules())["stages.2.1.project.conv"]
    feeder = dict(captured.module.network.named_modules())["stages.2.1.depthwise.conv"]
    with torch.no_grad():
        feeder.bias[0] = 1000.0
        victim.weight[:, 0] = 0
    assert measure_layers(captured.module, pixels)[0].layer == "stages.2.1.project.conv"


def test_rounding_has_255_and_256_levels() -> None:
    values = torch.linspace(-1, 3, 10_001)
    rounded = round_activation(values, values.min(), values.max())
    assert len(rounded.unique()) == 256 and 0.0 in rounded
    assert float((rounded - values).abs().max()) <= 4 / 255 / 2 + 1e-6
    weight = torch.linspace(-2, 2, 10_001).view(1, 1, 1, -1)
    assert len(round_weight(weight).unique()) == 255
