"""Are theoretical fields those of a hand calculation, and effective ones what is known of them?"""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.explain.fields import Field, find_middle, find_view, measure_fields
from rapidnet.explain.trained_subject import build_untrained
from rapidnet.models.complexity import find_stages
from rapidnet.models.receptive_field import View, trace_views


class Plain(nn.Module):
    """Uniform 3x3 convolutions without activations, one stage."""

    def __init__(self, layers: int, stride: int = 1) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(3, 3, 3, stride, 1, bias=False) for _ in range(layers)]
        for conv in convolutions:
            nn.init.constant_(conv.weight, 1.0)
        self.stage = nn.Sequential(*convolutions)
        self.feature_info = [{"num_chs": 3, "reduction": stride**layers, "module": "stage"}]

    def forward(self, x: Tensor) -> Tensor:
        return self.stage(x)


def scale(images: Tensor) -> Tensor:
    return images.float() / 255


def draw(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


@pytest.mark.parametrize(("dilations", "reach"), [((2, 3), 3), ((1,), 1)])
def test_theory_of_ti_by_hand(dilations: tuple[int, ...], reach: int) -> None:
    """Two 3x3 at stride 2; two 3x3 a stage at jump 4 and 8; then six and two, and two MLDC: 7x7, dilated 3x3, 7x7."""
    model = timm.create_model("rapidnet_ti", dilations=dilations)
    mldc = 6 + 2 * reach + 6
    first = 1 + 2 + 2 * 2 + 2 * (2 * 4)
    second = first + 2 * 4 + 2 * (2 * 8)
    third = second + 2 * 8 + 6 * (2 * 16) + 2 * (mldc * 16)
    fourth = third + 2 * 16 + 2 * (2 * 32) + 2 * (mldc * 32)
    views = trace_views(model)
    assert views is not None
    found = [find_view(views, stage) for stage in find_stages(model)]
    assert found == [View(first, 4), View(second, 8), View(third, 16), View(fourth, 32)]
    assert (third, fourth) == ((847, 2159) if reach == 3 else (719, 1775))


@pytest.mark.parametrize(("layers", "stride"), [(6, 1), (3, 2)])
def test_uniform_convolutions_see_a_bell_whose_width_is_known(layers: int, stride: int) -> None:
    """Each adds the variance of a uniform kernel, (k^2 - 1) / 12, times its jump squared (Luo et al., Sec. 2.2)."""
    (field,) = measure_fields(Plain(layers, stride), scale, draw(2, 63), 1)
    reach = 1 + 2 * sum(stride**layer for layer in range(layers))
    assert field.theory == reach and field.shares.sum() == pytest.approx(1)
    along = field.shares.sum(0)
    seen = np.flatnonzero(along)
    assert seen[-1] - seen[0] + 1 == reach
    assert (seen[0] + seen[-1]) / 2 == field.middle[1], "the middle is that of what the output pixel sees"
    mean = float(along @ np.arange(63))
    variance = float(along @ (np.arange(63) - mean) ** 2)
    assert mean == pytest.approx(field.middle[1], abs=1e-6)
    assert variance == pytest.approx(sum(2 / 3 * stride ** (2 * layer) for layer in range(layers)), rel=1e-6)


def test_strided_outputs_do_not_tile_the_picture() -> None:
    """The control of the test above: the middle that tiling implies is wrong by half a step."""
    feature = torch.zeros(1, 1, 8, 8)
    place, middle = find_middle(feature, View(15, 8, start=0.0), 64)
    assert (place, middle) == ((4, 4), (32.0, 32.0))
    assert find_middle(feature, None, 64)[1] != middle


def test_squares_by_hand() -> None:
    shares = np.zeros((9, 9))
    shares[3:6, 3:6] = 0.05
    shares[4, 4] = 0.25
    shares[4, 0] = 0.35
    facts = Field("stage", 5, (4, 4), shares).measure()
    assert facts["sides"] == {"20": 1, "30": 3, "50": 3, "99": 9}
    assert facts["areas"]["20"] == pytest.approx(100 / 81) and facts["areas"]["99"] == pytest.approx(100)
    cut = Field("stage", 5, (0, 4), shares).measure()
    assert cut["sides"]["99"] == 11 and cut["areas"]["99"] == pytest.approx(100 * 6 / 9)


def test_every_picture_counts_the_same(finished_run: Path) -> None:
    """Whatever the size of its gradients: two pictures are the mean of each."""
    trained = load_trained(finished_run)
    pixels = draw(2, 32)
    pixels[1] //= 8
    normalize = trained.preprocessing.normalize
    both = measure_fields(trained.model, normalize, pixels, 2)[2].shares
    each = [measure_fields(trained.model, normalize, pixels[i : i + 1], 2)[2].shares for i in range(2)]
    np.testing.assert_allclose(both, (each[0] + each[1]) / 2, rtol=1e-3, atol=1e-9)
    assert not np.allclose(each[0], each[1], rtol=1e-2)


def test_nothing_is_seen_outside_of_theory(finished_run: Path) -> None:
    trained = load_trained(finished_run)
    for model in (trained.model, build_untrained(trained, 0)):
        fields = measure_fields(model, trained.preprocessing.normalize, draw(2, 128), 2)
        assert [field.theory for field in fields] == [15, 39, 87, 759]
        for field in fields[:3]:
            rows, columns = np.nonzero(field.shares)
            for seen, middle in ((rows, field.middle[0]), (columns, field.middle[1])):
                assert np.abs(seen - middle).max() <= (field.theory - 1) / 2
    again = build_untrained(trained, 0).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in build_untrained(trained, 0).state_dict().items())
    assert any(not torch.equal(value, again[name]) for name, value in build_untrained(trained, 1).state_dict().items())


def test_networks_without_maps_are_refused() -> None:
    model = Plain(1)
    model.feature_info = []
    with pytest.raises(UserError, match="names no stages"):
        measure_fields(model, scale, draw(1, 16), 1)
    transformer = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=2, depth=1)
    with pytest.raises(UserError, match="no feature maps"):
        measure_fields(transformer.eval(), scale, draw(1, 32), 1)
