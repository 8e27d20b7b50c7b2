"""Does training see the int8 network, and does the checkpoint stay an ordinary one?"""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

import rapidnet
from conftest import TINY, randomize, tiny_config
from rapidnet.evaluation.trained import load_trained
from rapidnet.export import sensitivity
from rapidnet.training.fake_quantize import FakeQuantConv2d, fake_quantize, round_activation, round_weight
from rapidnet.training.train import run_train


def test_rounding_weights_before_batch_norm_is_rounding_them_after_folding() -> None:
    model = randomize(rapidnet.create_model("rapidnet_ti", num_classes=4, distillation=False, **TINY)).double()
    folded_first = rapidnet.reparameterize(model)
    with torch.no_grad():
        for layer in folded_first.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_(sensitivity.round_weight(layer.weight))
    rounded_first = deepcopy(model)
    with torch.no_grad():
        for layer in rounded_first.modules():
            if type(layer).__name__ == "RepDepthwiseConv":
                layer.conv.weight[:, 0, 3, 3] += 1
                layer.conv.weight.copy_(sensitivity.round_weight(layer.conv.weight))
                layer.conv.weight[:, 0, 3, 3] -= 1
                layer.done = True
        inside = {id(m.conv) for m in rounded_first.modules() if hasattr(m, "done")}
        for layer in rounded_first.modules():
            if isinstance(layer, nn.Conv2d) and id(layer) not in inside:
                layer.weight.copy_(sensitivity.round_weight(layer.weight))
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    with torch.inference_mode():
        expected, got, exact = folded_first(x), rounded_first(x), model(x)
    assert torch.allclose(expected, got, rtol=0, atol=1e-9)
    assert float((expected - exact).abs().max()) > 1e-4


def test_a_fake_quantised_network_computes_the_rounded_one() -> None:
    model = randomize(rapidnet.create_model("rapidnet_ti", num_classes=4, **TINY))
    before, x = deepcopy(model), torch.rand(2, 3, 64, 64)
    fake_quantize(model)
    assert sum(isinstance(m, FakeQuantConv2d) for m in model.modules()) > 10
    assert model.state_dict().keys() == before.state_dict().keys()
    with torch.inference_mode():
        difference = (model(x) - before(x)).abs().max()
        copied = deepcopy(model)(x)
        assert torch.equal(copied, model(x))
    assert 1e-4 < float(difference) < 10
    # One layer, by hand.
    layer = nn.Conv2d(3, 4, 3, padding=1)
    expected = nn.functional.conv2d(round_activation(x), round_weight(layer.weight), layer.bias, padding=1)
    holder = nn.Sequential(layer)
    fake_quantize(holder)
    assert torch.equal(holder(x), expected)
    # The gradient passes as if nothing had been rounded.
    weight = torch.randn(4, 3, 3, 3, requires_grad=True)
    round_weight(weight).sum().backward()
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_a_fake_quantised_run_is_an_ordinary_checkpoint_and_resumes_exactly(photos: Path, tmp_path: Path) -> None:
    quiet = Console(quiet=True)
    config = tiny_config(photos, tmp_path / "whole", fake_quantize=True)
    assert run_train(config, quiet) == 0
    plain = tiny_config(photos, tmp_path / "plain")
    assert run_train(plain, quiet) == 0
    whole, other = (load_trained(tmp_path / name, "raw") for name in ("whole", "plain"))
    assert type(whole.model.stem[0].conv) is nn.Conv2d
    assert not all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), other.model.parameters(), strict=True))
    assert rapidnet.reparameterize(whole.model)(torch.rand(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("name", ["weight", "activation"])
def test_rounding_agrees_with_the_report_of_layers(name: str) -> None:
    values = torch.randn(8, 4, 5, 5)
    if name == "weight":
        assert torch.allclose(round_weight(values), sensitivity.round_weight(values), atol=1e-6)
    else:
        expected = sensitivity.round_activation(values, values.amin(), values.amax())
        assert torch.allclose(round_activation(values), expected, atol=1e-6)
