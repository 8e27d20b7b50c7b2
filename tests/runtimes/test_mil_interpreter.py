"""Does the interpreter compute each operation of a Core ML program as torch does, and refuse what it does not know?"""

import numpy as np
import pytest
import torch
from torch.nn import functional

from rapidnet.errors import UserError
from rapidnet.runtimes.mil_interpreter import OPERATIONS, interpret
from rapidnet.runtimes.mil_program import Operation, Program

RNG = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (3, 3), (7, 3)])
def test_convolution(groups: int, dilation: int, stride: int, kernel: int, padding: int) -> None:
    x, weight, bias = draw(2, 6, 23, 20), draw(12 if groups != 6 else 6, 6 // groups, kernel, kernel), None
    bias = draw(len(weight))
    given = {
        "x": x, "weight": weight, "bias": bias, "strides": [stride] * 2, "dilations": [dilation] * 2,
        "groups": groups, "pad_type": "custom", "pad": [padding] * 4,
    }  # fmt: skip
    tensors = (torch.from_numpy(value) for value in (x, weight, bias))
    expected = functional.conv2d(*tensors, stride=stride, padding=padding, dilation=dilation, groups=groups)
    assert np.allclose(OPERATIONS["conv"](given), expected.numpy(), atol=1e-4)


def test_unequal_padding_is_top_bottom_left_right() -> None:
    x, weight = draw(1, 2, 8, 9), draw(3, 2, 3, 3)
    given = {"x": x, "weight": weight, "strides": [1, 1], "dilations": [1, 1], "groups": 1, "pad_type": "custom"}
    padded = functional.pad(torch.from_numpy(x), (3, 0, 1, 2))
    expected = functional.conv2d(padded, torch.from_numpy(weight)).numpy()
    assert np.allclose(OPERATIONS["conv"](given | {"pad": [1, 2, 3, 0]}), expected, atol=1e-5)
    plain = functional.conv2d(torch.from_numpy(x), torch.from_numpy(weight)).numpy()
    assert np.allclose(OPERATIONS["conv"](given | {"pad_type": "valid"}), plain, atol=1e-5)
    with pytest.raises(UserError, match="same_lower"):
        OPERATIONS["conv"](given | {"pad_type": "same_lower"})


@pytest.mark.parametrize(("mode", "approximate"), [("EXACT", "none"), ("TANH_APPROXIMATION", "tanh")])
def test_gelu(mode: str, approximate: str) -> None:
    x = np.linspace(-8, 8, 2001, dtype=np.float32)
    expected = functional.gelu(torch.from_numpy(x).double(), approximate=approximate).numpy()
    assert np.abs(OPERATIONS["gelu"]({"x": x, "mode": mode}) - expected).max() < 1e-7
    other = OPERATIONS["gelu"]({"x": x, "mode": "SIGMOID_APPROXIMATION"})
    assert 1e-3 < np.abs(other - expected).max() < 0.03


def test_other_operations() -> None:
    x = draw(2, 5, 3, 4)
    tensor = torch.from_numpy(x)
    expected = {
        "relu": ({}, tensor.relu()),
        "sigmoid": ({}, tensor.sigmoid()),
        "silu": ({}, functional.silu(tensor)),
        "softmax": ({"axis": np.int32(1)}, tensor.softmax(1)),
        "reduce_mean": ({"axes": np.array([-2, -1]), "keep_dims": np.bool_(True)}, tensor.mean((2, 3), keepdim=True)),
        "reshape": ({"shape": np.array([2, -1])}, tensor.reshape(2, -1)),
        "add": ({"y": x[:1]}, tensor + tensor[:1]),
        "sub": ({"y": x[:1]}, tensor - tensor[:1]),
        "mul": ({"y": x[:1]}, tensor * tensor[:1]),
        "maximum": ({"y": x[:1]}, tensor.maximum(tensor[:1])),
        "matmul": ({"y": x, "transpose_x": np.bool_(False), "transpose_y": np.bool_(True)}, tensor @ tensor.mT),
    }
    for name, (more, answer) in expected.items():
        assert np.allclose(OPERATIONS[name]({"x": x, **more}), answer.numpy(), atol=1e-6), name
    data, scale = RNG.integers(-127, 128, (4, 3), dtype=np.int8), np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    given = {"quantized_data": data, "scale": scale, "zero_point": np.int8(3), "axis": np.int32(0)}
    assert np.allclose(OPERATIONS["constexpr_affine_dequantize"](given), (data - 3.0) * scale[:, None], atol=1e-5)


def test_half_precision_is_rounded_after_each_operation_and_the_unknown_refused() -> None:
    constants = {"big": np.float32(2048.0), "one": np.float32(1.0)}
    steps = [
        Operation("add", {"x": ["pixels"], "y": ["big"]}, "sum", "float16"),
        Operation("sub", {"x": ["sum"], "y": ["big"]}, "back", "float32"),
    ]
    images = np.full((1, 3, 2, 2), 1.0, dtype=np.float32)
    # 2049 lies between two numbers of half precision, and goes to the even one.
    assert np.all(interpret(Program(steps, constants, "pixels", ["back"], [1, 3, 2, 2], True), images)["back"] == 0)
    single = [Operation(step.kind, step.inputs, step.output, "float32") for step in steps]
    assert np.all(interpret(Program(single, constants, "pixels", ["back"], [1, 3, 2, 2], True), images)["back"] == 1)
    unknown = [Operation("lstm", {}, "back", "float32")]
    with pytest.raises(UserError, match="'lstm'"):
        interpret(Program(unknown, constants, "pixels", ["back"], [1, 3, 2, 2], True), images)
