"""Is the int8 GELU of the runtimes that have one of their own within a step of the exact one, for all 256 inputs?

The forms written for ONNX Runtime and OpenVINO are in those formats' own tests.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rapidnet.export.executorch import lower
from rapidnet.export.onnx_gelu import gelu
from rapidnet.runtimes.executorch import import_quietly

CODES = np.arange(-128, 128)
RANGES = [(-3.0, 2.5), (-3.0, 6.0), (-8.0, 8.0), (-2.0, 20.0)]
"""Of x; GELU takes -0.17 to the upper end."""


def choose_scale(low: float, high: float) -> tuple[float, int]:
    """Of int8, zero exactly among its steps."""
    scale = (high - low) / 255
    return float(np.float32(scale)), round(-128 - low / scale)


def count_steps(answers: np.ndarray, values: np.ndarray, scale: float, zero: int) -> int:
    """The largest distance of int8 answers from the byte the exact GELU of `values` would be written as."""
    exact = np.clip(np.rint(gelu(values) / scale) + zero, -128, 127)
    return int(np.abs(answers - exact).max())


class QuantizedGelu(nn.Module):
    """x, written as int8, through GELU, written as int8."""

    def __init__(self, given: tuple[float, int], made: tuple[float, int]) -> None:
        super().__init__()
        self.given, self.made = given, made

    def forward(self, x: Tensor) -> Tensor:
        form = torch.ops.quantized_decomposed
        for (scale, zero), function in ((self.given, nn.functional.gelu), (self.made, nn.Identity())):
            codes = form.quantize_per_tensor(x, scale, zero, -128, 127, torch.int8)
            x = function(form.dequantize_per_tensor(codes, scale, zero, -128, 127, torch.int8))
        return x


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_xnnpack(low: float, high: float, tmp_path: Path) -> None:
    with import_quietly(tmp_path):
        import executorch.exir  # noqa: F401
        from executorch.runtime import Runtime
    given, made = choose_scale(low, high), choose_scale(-0.17, high)
    values = ((CODES - given[1]) * given[0]).astype(np.float32)
    program = torch.export.export(QuantizedGelu(given, made).eval(), (torch.from_numpy(values),))
    loaded = Runtime.get().load_program(lower(program, {}))
    method = loaded.load_method("forward")
    assert method is not None
    answers = method.execute([torch.from_numpy(values)])[0].numpy()
    codes = np.rint(answers / made[0]) + made[1]
    assert count_steps(codes, values, *made) <= 1
    assert len(set(codes)) > 100, "answers in int8, not all the same"


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_litert(low: float, high: float) -> None:
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer

    from rapidnet.export.litert import quiet

    values = np.linspace(low, high, 256, dtype=np.float32)
    with quiet():
        edge = litert_torch.convert(nn.GELU().eval(), (torch.from_numpy(values),))
        rewrite = quantizer.Quantizer(edge.model_content())
        rewrite.add_static_config(
            ".*", qtyping.TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
        )
        result = rewrite.calibrate({"serving_default": [{"args_0": values}]}, num_threads=1)
        model = bytes(rewrite.quantize(result).quantized_model)
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    (scale, zero), made = source["quantization"], target["quantization"]
    assert source["dtype"] == target["dtype"] == np.int8
    interpreter.set_tensor(source["index"], CODES.astype(np.int8))
    interpreter.invoke()
    answers = interpreter.get_tensor(target["index"]).astype(int)
    assert count_steps(answers, (CODES - zero) * scale, *made) <= 1
    assert len(set(answers)) > 100


def test_a_table_that_is_two_steps_off_shows() -> None:
    values = np.linspace(-3, 6, 256)
    scale, zero = choose_scale(-0.17, 6.0)
    exact = np.clip(np.rint(gelu(values) / scale) + zero, -128, 127)
    assert count_steps(exact, values, scale, zero) == 0
    exact[100] += 2
    assert count_steps(exact, values, scale, zero) == 2
