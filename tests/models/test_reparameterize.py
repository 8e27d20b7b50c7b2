"""Is a folded network the same function, and would a wrong folding be noticed?"""

from copy import deepcopy

import pytest
import timm
import torch
from timm.layers import LayerScale2d
from torch import Tensor, nn

import rapidnet
from conftest import randomize
from rapidnet.errors import UserError
from rapidnet.models.rapidnet import RepDepthwiseConv
from rapidnet.models.reparameterize import is_folded

SIZES = ((224, 224), (160, 160), (97, 131))
OPTIONS = (
    {},
    {"distillation": False},
    {"dilations": (1, 2, 3), "branch_sum": "before_act"},
    {"ffn_kernel_size": 0, "dw_kernel_size": 0},
    {"num_classes": 0},
    {"act_layer": "relu", "in_chans": 1},
)


def build(name: str = "rapidnet_ti", seed: int = 0, **options: object) -> nn.Module:
    return randomize(timm.create_model(name, dtype=torch.float64, **{"num_classes": 11, **options}), seed)


def difference(first: nn.Module, second: nn.Module, size: tuple[int, int] = (97, 131), channels: int = 3) -> float:
    image = torch.randn(2, channels, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        a, b = first(image), second(image)
    outputs = zip(a, b, strict=True) if isinstance(a, list) else [(a, b)]
    return max(float((x - y).abs().max() / x.abs().max()) for x, y in outputs)


@pytest.mark.parametrize("variant", ["ti", "s", "m", "b"])
def test_folded_is_equal_with_random_statistics(variant: str) -> None:
    model = build(f"rapidnet_{variant}")
    folded = rapidnet.reparameterize(model)
    kinds = (nn.BatchNorm2d, LayerScale2d, RepDepthwiseConv)
    assert not any(isinstance(module, kinds) for module in folded.modules())
    assert folded.head_dist is None
    for size in SIZES if variant == "ti" else SIZES[2:]:
        assert difference(model, folded, size) < 1e-10


@pytest.mark.parametrize("options", OPTIONS)
def test_every_studied_part_folds(options: dict) -> None:
    model = build(**options)
    folded = rapidnet.reparameterize(model)
    assert is_folded(folded)
    assert difference(model, folded, (64, 64), options.get("in_chans", 3)) < 1e-10


def test_features_only_folds() -> None:
    model = build(features_only=True, num_classes=1000)
    folded = rapidnet.reparameterize(model)
    assert is_folded(folded)
    assert difference(model, folded) < 1e-10


def test_a_network_that_contains_one_folds() -> None:
    wrapped = nn.Sequential(build(), nn.Softmax(1)).eval()
    folded = rapidnet.reparameterize(wrapped)
    assert is_folded(folded)
    assert difference(wrapped, folded) < 1e-10


class Doubling(nn.Module):
    """A mixer whose last layer is no ConvNorm: its layer scale must stay."""

    def __init__(self, dim: int, act_layer: str = "gelu") -> None:
        super().__init__()
        self.fc2 = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.fc2(x)


def test_an_unknown_mixer_keeps_its_layer_scale() -> None:
    model = build(mixer_layer=Doubling)
    folded = rapidnet.reparameterize(model)
    assert sum(isinstance(module, LayerScale2d) for module in folded.modules()) == 4
    assert difference(model, folded) < 1e-10


def test_never_in_place_and_a_second_time_changes_nothing() -> None:
    model = build()
    before = deepcopy(model.state_dict())
    folded = rapidnet.reparameterize(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not is_folded(model)
    again = rapidnet.reparameterize(folded)
    assert again is not folded
    assert all(torch.equal(value, folded.state_dict()[key]) for key, value in again.state_dict().items())


def test_refused_in_training_mode() -> None:
    with pytest.raises(UserError, match=r"call .eval\(\)"):
        rapidnet.reparameterize(build().train())


@pytest.mark.parametrize("part", ["running_mean", "running_var", "gamma", "head_dist.weight"])
def test_equality_notices_a_part_that_was_not_folded(part: str) -> None:
    model = build()
    wrong = deepcopy(model)
    with torch.no_grad():
        name, value = next((n, v) for n, v in wrong.state_dict().items() if part in n)
        value.mul_(1.0001)
    assert difference(model, rapidnet.reparameterize(wrong)) > 1e-9, name


def test_trains_on_after_folding() -> None:
    folded = rapidnet.reparameterize(build()).train()
    folded(torch.randn(2, 3, 64, 64, dtype=torch.float64)).sum().backward()
    assert all(parameter.grad is not None for parameter in folded.parameters())
