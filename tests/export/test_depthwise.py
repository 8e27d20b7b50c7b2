"""Do the pieces of a large depthwise convolution answer as the whole, and is nothing else taken apart?"""

from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny import STATIC, VARYING, capture_tiny, draw_inputs
from torch import nn

from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion, expect_structure
from rapidnet.export.converters import adapt, convert
from rapidnet.export.depthwise import SplitDepthwise, can_be_split, split_depthwise
from rapidnet.runtimes.formats import FORMATS

# The last stage is four pixels wide: no piece only sees padding.
WIDE = InputSpec(128, 128)


@pytest.fixture(scope="module")
def captured() -> Captured:
    return capture_tiny(WIDE)


@pytest.mark.parametrize("bias", [True, False])
def test_pieces_are_the_whole(bias: bool) -> None:
    torch.manual_seed(0)
    whole = nn.Conv2d(5, 5, 7, padding=3, groups=5, bias=bias).double()
    pieces = SplitDepthwise(whole, width=6).double()
    assert len(pieces) == 3
    features = torch.randn(2, 5, 11, 6, dtype=torch.float64)
    assert torch.allclose(pieces(features), whole(features), rtol=0, atol=1e-13)
    # A middle column that is counted twice must show.
    with torch.no_grad():
        pieces[1].weight[..., 1] = whole.weight[..., 3]
    assert not torch.allclose(pieces(features), whole(features), atol=1e-2)


@pytest.mark.parametrize(("width", "count"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_pieces_that_only_see_padding_are_left_out(width: int, count: int) -> None:
    torch.manual_seed(0)
    whole = nn.Conv2d(5, 5, 7, padding=3, groups=5).double()
    pieces = SplitDepthwise(whole, width).double()
    features = torch.randn(2, 5, 11, width, dtype=torch.float64)
    assert len(pieces) == count
    assert all(piece(features).any() for piece in pieces)
    assert torch.allclose(pieces(features), whole(features), rtol=0, atol=1e-13)


def test_int8_of_features_three_pixels_wide_opens(tmp_path: Path) -> None:
    narrow = InputSpec(96, 96)
    captured = capture_tiny(narrow)
    conversion = adapt("litert", Conversion(captured, "int8", draw_inputs(narrow, 8, size=96)))
    made = convert("litert", conversion, tmp_path)
    assert FORMATS["litert"].open(made.artifact).run(draw_inputs(narrow, 1, size=96))["probabilities"].shape[0] == 1


@pytest.mark.parametrize(
    ("layer", "split"),
    [
        (nn.Conv2d(4, 4, 7, padding=3, groups=4), True),
        (nn.Conv2d(4, 4, 5, padding=2, groups=4), False),
        (nn.Conv2d(4, 4, 9, padding=4, groups=4), False),
        (nn.Conv2d(4, 4, 7, padding=3), False),
        (nn.Conv2d(4, 8, 7, padding=3, groups=4), False),
        (nn.Conv2d(4, 4, 7, padding=3, groups=4, stride=2), False),
        (nn.Conv2d(4, 4, 7, padding=6, groups=4, dilation=2), False),
        (nn.Conv2d(4, 4, 7, padding=2, groups=4), False),
        (nn.Conv2d(4, 4, 7, padding=3, groups=4, padding_mode="reflect"), False),
        (nn.Identity(), False),
    ],
)
def test_only_what_is_too_large_and_plain_is_split(layer: nn.Module, split: bool) -> None:
    assert can_be_split(layer) == split


@pytest.mark.parametrize("spec", [WIDE, STATIC, VARYING])
def test_a_network_answers_the_same(spec, captured: Captured) -> None:
    whole = captured if spec is WIDE else capture_tiny(spec)
    split = split_depthwise(Conversion(whole, "fp32")).captured
    assert not any(can_be_split(layer) for layer in split.module.modules())
    assert any(can_be_split(layer) for layer in whole.module.modules()), "the whole one is left alone"
    inputs = torch.from_numpy(draw_inputs(spec, 2 if spec is VARYING else 1, size=spec.image_size))
    exact = whole.module.double()(inputs)
    whole.module.float()
    assert torch.allclose(split.module.double()(inputs), exact, rtol=0, atol=1e-12)
    split.module.float()
    assert torch.allclose(split.program.module()(inputs), exact.float(), rtol=0, atol=1e-5)


def test_layers_in_float_stay_so_in_all_their_pieces(captured: Captured) -> None:
    large = next(name for name, layer in captured.module.network.named_modules() if can_be_split(layer))
    split = split_depthwise(Conversion(captured, "int8", keep_float=frozenset({large, "stem.0.conv"})))
    assert split.keep_float == {"stem.0.conv", *(f"{large}.{i}" for i in range(3))}


@pytest.mark.parametrize("name", ["executorch", "litert"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_files_hold_the_pieces(name: str, precision: str, captured: Captured, tmp_path: Path) -> None:
    large = [name for name, layer in captured.module.network.named_modules() if can_be_split(layer)]
    calibration = draw_inputs(WIDE, 8, size=128) if precision == "int8" else None
    # One large layer kept in float: three of the file's convolutions must be.
    kept = frozenset(large[:1]) if precision == "int8" else frozenset()
    conversion = adapt(name, Conversion(captured, precision, calibration, kept))  # type: ignore[arg-type]
    structure = FORMATS[name].inspect(convert(name, conversion, tmp_path).artifact)
    assert sorted(structure.dilations) == expect_structure(conversion)["dilations"]
    rates = Counter(map(tuple, structure.dilations))
    assert rates == {(2, 2): 1, (3, 3): 1, (1, 2): len(large), (1, 3): len(large)}
    if precision == "int8":
        assert structure.convolutions["float32"] == 3


def test_formats_with_large_kernels_of_their_own_keep_theirs(captured: Captured) -> None:
    conversion = Conversion(captured, "fp32")
    assert adapt("onnx", conversion) is conversion
