"""How does a float32 OpenVINO model become an int8 one, and its GELU no dearer than it has to be?

NNCF chooses the scales: int8 weights per output channel, eight-bit activations per tensor. The CPU runs a GELU within
the int8 convolution before it, where its error function costs a third of the whole network. As arithmetic it is a
short kernel of its own, at less than half of that: x (1/2 + t P(t t)) with t = x clipped to 3.069 either way, within
0.0035 of GELU everywhere. It is computed in float32, from the convolution's sums, and rounded once; where that error
could reach a step of the result, the GELU stays exact.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.export.conversion import Conversion

BOUND = 3.068587479600206
LOWER = (0.38636210454612746, -0.05213579821566145, 0.004433003470324328)
# The gate ends at exactly one: anything else would grow with x.
POLYNOMIAL = (*LOWER, (0.5 / BOUND - sum(c * BOUND ** (2 * i) for i, c in enumerate(LOWER))) / BOUND**6)
GELU_ERROR = 0.0035
"""The largest distance of the polynomial's GELU from the exact one."""


def quantize_openvino(model: Any, conversion: Conversion) -> tuple[Any, dict[str, Any]]:
    """(an int8 copy of an openvino.Model, what was done, for the card).

    Raises:
        UserError: NNCF is not installed, no calibration images, or keep_float names a module without a convolution.
    """
    images = conversion.calibration
    if images is None or not len(images):
        raise UserError("int8 needs calibration images; give training images to choose the ranges with")
    try:
        import nncf
    except ImportError:
        raise UserError("int8 on openvino needs nncf; pip install 'rapidnet[openvino]'") from None
    kept = find_kept(model, conversion)
    # One scale per tensor: a channel of its own tiny scale would be too fine for the polynomial.
    advanced = nncf.AdvancedQuantizationParameters(
        activations_quantization_params=nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False)
    )
    # Progress bars go to standard output whatever the level of the log.
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(
            model, nncf.Dataset([image[None] for image in images]), subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED, advanced_parameters=advanced,
            ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
        )  # fmt: skip
    forms = rewrite_gelus(quantized)
    return quantized, {
        "nncf": nncf.__version__, "weights": "int8, symmetric, per output channel",
        "activations": "8 bits, per tensor, preset mixed", "calibration_images": len(images),
        "kept_float": sorted(conversion.keep_float), "gelu_forms": forms,
        "gelu_error": f"{GELU_ERROR}, below one step of each output" if forms.get("polynomial") else "none",
    }  # fmt: skip


def find_kept(model: Any, conversion: Conversion) -> list[str]:
    """Names of the operators that belong to the modules `conversion.keep_float`."""
    from torch import nn

    modules = dict(conversion.captured.module.network.named_modules())
    # The converter renames what it takes over; the weights it leaves alone.
    made = {
        operator.input_value(1).get_node().get_data().tobytes(): operator.get_friendly_name()
        for operator in model.get_ordered_ops()
        if operator.get_type_name() in ("Convolution", "GroupConvolution")
    }
    kept = []
    for name in sorted(conversion.keep_float):
        module = modules.get(name)
        if not isinstance(module, nn.Conv2d):
            raise UserError(f"keep_float names '{name}', which is no convolution of the folded network")
        kept.append(made[module.weight.numpy().tobytes()])
    return kept


def rewrite_gelus(model: Any) -> dict[str, int]:
    """Replace each GELU that is quantised in steps wider than GELU_ERROR, in place; how many have which form."""
    forms = {"polynomial": 0, "exact": 0}
    for operator in model.get_ordered_ops():
        if operator.get_type_name() != "Gelu":
            continue
        readers = list(operator.output(0).get_target_inputs())
        if measure_step([reader.get_node() for reader in readers]) <= GELU_ERROR:
            forms["exact"] += 1
            continue
        polynomial = build_gelu(operator.input_value(0), operator.get_friendly_name())
        for reader in readers:
            reader.replace_source_output(polynomial.output(0))
        forms["polynomial"] += 1
    model.validate_nodes_and_infer_types()
    return {form: count for form, count in forms.items() if count}


def measure_step(readers: Sequence[Any]) -> float:
    """The finest step that a tensor is rounded to by what reads it; 0 if anything reads it as it is."""
    steps = [0.0 if reader.get_type_name() != "FakeQuantize" else quantization_step(reader) for reader in readers]
    return min(steps, default=0.0)


def quantization_step(quantizer: Any) -> float:
    low, high = (quantizer.input_value(i).get_node().get_data() for i in (1, 2))
    return float(np.min(high - low)) / (int(quantizer.get_attributes()["levels"]) - 1)


def build_gelu(x: Any, name: str) -> Any:
    """x (1/2 + t P(t t)), t the clipped x."""
    from openvino import opset13 as ops

    clipped = ops.clamp(x, -BOUND, BOUND)
    square = ops.multiply(clipped, clipped)
    inner = ops.constant(np.float32(POLYNOMIAL[-1]))
    for coefficient in POLYNOMIAL[-2::-1]:
        inner = ops.add(ops.multiply(inner, square), ops.constant(np.float32(coefficient)))
    gate = ops.add(ops.multiply(clipped, inner), ops.constant(np.float32(0.5)))
    product = ops.multiply(x, gate)
    product.set_friendly_name(name)
    return product
