"""Do parameters, multiply-accumulates, activations and the table of stages equal known and hand-counted values?"""

import json
from io import StringIO

import pytest
import timm
import torch
from rich.console import Console
from torch import nn

import rapidnet.models  # noqa: F401  registers the networks
from rapidnet.errors import UserError
from rapidnet.models.complexity import (
    count_activations,
    count_macs,
    count_parameters,
    describe,
    render,
    trace_stages,
)
from rapidnet.models.reparameterize import reparameterize

SIZE = (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("rapidnet_ti", 6_627_840, 0.6175),
        ("rapidnet_s", 9_213_088, 0.8966),
        ("rapidnet_m", 17_304_496, 1.5969),
        ("rapidnet_b", 30_556_496, 3.3544),
    ],
)
def test_the_family(name: str, parameters: int, gmacs: float) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert count_parameters(model) == parameters
    assert count_macs(model, SIZE) / 1e9 == pytest.approx(gmacs, abs=5e-5)


def test_a_small_network_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    first, depthwise, linear = 8 * 64 * 27, 8 * 64 * 9, 5120
    assert count_macs(model, (3, 16, 16)) == first + depthwise + linear
    assert count_activations(model, (3, 16, 16)) == 512 + 512 + 10
    assert count_parameters(model) == (8 * 27 + 8) + 16 + (8 * 9 + 8) + (5120 + 10)
    (row,) = trace_stages(model, (3, 16, 16))
    assert (row.name, row.shape, row.macs) == ("network", [10], first + depthwise + linear)
    assert model.training and next(model.parameters()).device.type == "cpu", "the model itself is left alone"


def test_stages_of_rapidnet_ti_by_hand() -> None:
    model = timm.create_model("rapidnet_ti").eval()
    stages = trace_stages(model, SIZE)
    assert [stage.name for stage in stages] == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]
    shapes = [[32, 56, 56], [32, 56, 56], [64, 28, 28], [112, 14, 14], [224, 7, 7], [1000]]
    assert [stage.shape for stage in stages] == shapes
    assert [stage.stride for stage in stages] == [4, 4, 8, 16, 32, None]
    # Inverted residual: +2 jumps. MLDC block: 7x7, 3x3 dilated by 3, 7x7: +18 jumps. Downsampling: +2 of the old jump.
    s0 = 7 + 2 * 2 * 4
    s1 = s0 + 2 * 4 + 2 * 2 * 8
    s2 = s1 + 2 * 8 + 6 * 2 * 16 + 2 * 18 * 16
    s3 = s2 + 2 * 16 + 2 * 2 * 32 + 2 * 18 * 32
    assert [stage.receptive_field for stage in stages] == [7, s0, s1, s2, s3, "whole input"]
    assert sum(stage.parameters for stage in stages) == count_parameters(model)
    assert sum(stage.macs for stage in stages) == count_macs(model, SIZE)
    # 1x1 before the heads and both heads, on one position; parameters with biases and BatchNorm.
    assert stages[-1].macs == 224 * 512 + 2 * 512 * 1000
    assert stages[-1].parameters == (224 * 512 + 512) + 2 * 512 + 2 * (512 * 1000 + 1000)


def test_folding_removes_a_head_and_keeps_the_field() -> None:
    model = timm.create_model("rapidnet_ti", num_classes=10).eval()
    before, after = describe(model, (3, 64, 64)), describe(reparameterize(model), (3, 64, 64))
    assert json.loads(json.dumps(before, allow_nan=False)) == before
    assert round((before["gmacs"] - after["gmacs"]) * 1e9) == 512 * 10
    assert after["params_m"] < before["params_m"] and after["activations_m"] < before["activations_m"]
    fields = [[stage["receptive_field"] for stage in facts["stages"]] for facts in (before, after)]
    assert fields[0] == fields[1]


def test_other_networks_of_timm() -> None:
    # 435 px: Araujo et al., Distill 2019, for ResNet-18's sibling of the same 3x3 layers.
    resnet = trace_stages(timm.create_model("resnet18"), SIZE)
    assert [(stage.name, stage.receptive_field) for stage in resnet] == [
        ("stem", 11), ("layer1", 43), ("layer2", 99), ("layer3", 211), ("layer4", 435), ("head", "whole input")
    ]  # fmt: skip
    vit = timm.create_model("vit_tiny_patch16_224", depth=2)
    assert [stage.receptive_field for stage in trace_stages(vit, SIZE)][1:] == [None, None, None]
    backbone = timm.create_model("rapidnet_ti", features_only=True)
    assert [stage.name for stage in trace_stages(backbone, (3, 64, 64))][-1] == "stages_3"


def test_an_input_that_does_not_fit_is_one_sentence() -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=1)
    with pytest.raises(UserError, match="cannot take an input of 3x100x100"):
        describe(model, (3, 100, 100))


def test_tables_fit_a_terminal_of_80_columns() -> None:
    model = timm.create_model("rapidnet_ti").eval()
    before, after = describe(model, SIZE), describe(reparameterize(model), SIZE)
    for arguments in ((before,), (before, after)):
        console = Console(width=80, record=True, file=StringIO())
        console.print(render(*arguments))
        text = console.export_text()
        assert "…" not in text and "847" in text and "0.6175" in text and "whole input" in text
        assert ("folded" in text) == (len(arguments) == 2)
