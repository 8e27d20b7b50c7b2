"""Does the theoretical receptive field equal hand calculations and what gradients reach?"""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rapidnet.models import rapidnet
from rapidnet.models.receptive_field import View, trace_views


def last_view(*modules: nn.Module) -> View | None:
    views = trace_views(nn.Sequential(*modules))
    assert views is not None
    return list(views.values())[-1]


def test_plain_layers_by_hand() -> None:
    assert last_view(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.GELU(), nn.Conv2d(8, 8, 3)) == View(7, 2)
    assert last_view(nn.Conv2d(3, 8, 3, dilation=3)) == View(7, 1)
    assert last_view(nn.Conv2d(3, 8, 7, 2), nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, (1, 3))) == View(19, 4)
    assert last_view(nn.Conv2d(3, 8, 1), nn.AvgPool2d(2)) == View(2, 2)
    assert last_view(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1)) == View(whole=True)
    assert last_view(nn.GroupNorm(1, 3)) == View(whole=True)


def test_what_is_not_known_is_unknown() -> None:
    for module in (nn.Upsample(scale_factor=2), nn.ConvTranspose2d(3, 3, 2, 2), nn.AdaptiveAvgPool2d(7)):
        assert last_view(module, nn.Conv2d(3, 3, 3)) is None
    attention = trace_views(timm.create_model("vit_tiny_patch16_224"))
    assert attention is None or attention["head"] is None


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.near, self.far, self.after = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, dilation=4), nn.Conv2d(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(F.relu(self.near(x)) + self.far(x))


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_branches_take_the_larger_field_and_untraceable_code_gives_none() -> None:
    views = trace_views(Branches())
    assert views == {"near": View(3), "far": View(9), "after": View(11)}
    assert trace_views(DataDependent()) is None


@pytest.mark.parametrize("dilations", [(2, 3), (1,), (1, 5)])
def test_gradients_reach_exactly_the_theoretical_field(dilations: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = rapidnet.RapidNet(
        channels=(8, 8, 8, 8), depths=(1, 1, 1, 1), mldc_depths=(0, 0, 1, 0), dilations=dilations, layer_scale_init=1.0
    )
    model.double().eval()
    # stem 7, stage 0 +2*4, stage 1 +2*4 +2*8, stage 2 +2*8 +2*16 and the MLDC block: 7x7, dilated 3x3, 7x7 at 16 px
    expected = 7 + 8 + 8 + 16 + 16 + 32 + 16 * (6 + 2 * max(dilations) + 6)
    views = trace_views(model)
    assert views is not None
    assert views["stages.2.2.ffn.fc2.conv"] == View(expected, 16)
    image = torch.randn(1, 3, 32, 512, dtype=torch.float64, requires_grad=True)
    feature = model.forward_intermediates(image, indices=[2], intermediates_only=True)[0]
    assert isinstance(feature, Tensor)
    feature[0, :, 1, 16].sum().backward()
    assert image.grad is not None
    reached = image.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert int(reached[-1] - reached[0]) + 1 == expected
