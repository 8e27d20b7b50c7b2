"""How does a float32 OpenVINO model become an int8 one, and its GELU no dearer than it has to be?

NNCF chooses the scales: int8 weights per output channel, eight-bit activations per tensor. The CPU runs a GELU within
the int8 convolution before it, where its error function costs a third of the whole network. As arithmetic it is a
short kernel of its own, at less than half of that: x (1/2 + t P(t t)) with t = x clipped either way and P of two to
four terms. It is computed in float32, from the convolution's sums, and rounded once; each GELU takes the fewest terms
whose error is below a step of the result, and where four are not enough it stays exact.
"""

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.export.conversion import Conversion


@dataclass(frozen=True)
class Polynomial:
    """P, by all but its last coefficient, and where x is clipped.

    error: the largest distance of its GELU from the exact one, over all x.
    """

    error: float
    bound: float
    lower: tuple[float, ...]

    @property
    def coefficients(self) -> tuple[float, ...]:
        # The gate ends at exactly one: anything else would grow with x.
        known = sum(c * self.bound ** (2 * i) for i, c in enumerate(self.lower))
        return (*self.lower, (0.5 / self.bound - known) / self.bound ** (2 * len(self.lower)))


POLYNOMIALS = (
    Polynomial(0.0306, 2.25437432, (0.33268655,)),
    Polynomial(0.0077, 2.77306223, (0.37482542, -0.04274704)),
    Polynomial(0.0035, 3.068587479600206, (0.38636210454612746, -0.05213579821566145, 0.004433003470324328)),
)
"""Cheapest first."""


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
    kept, portions = find_kept(model, conversion), conversion.portions()
    # One scale per tensor: a channel of its own tiny scale would be too fine for the polynomial.
    advanced = nncf.AdvancedQuantizationParameters(
        activations_quantization_params=nncf.quantization.advanced_parameters.QuantizationParameters(per_channel=False)
    )
    # Progress bars go to standard output whatever the level of the log.
    with contextlib.redirect_stdout(io.StringIO()):
        quantized = nncf.quantize(
            model, nncf.Dataset(portions), subset_size=len(portions),
            preset=nncf.QuantizationPreset.MIXED, advanced_parameters=advanced,
            ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
        )  # fmt: skip
    forms = rewrite_gelus(quantized)
    return quantized, {
        "nncf": nncf.__version__, "weights": "int8, symmetric, per output channel",
        "activations": "8 bits, per tensor, preset mixed", "calibration_images": len(images),
        "kept_float": sorted(conversion.keep_float), "gelu_forms": forms,
        "gelu_error": "below one step of each output" if set(forms) - {"exact"} else "none",
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
    """Replace each GELU by the cheapest polynomial whose error is below a step, in place; how many have which form."""
    forms: Counter[str] = Counter()
    for operator in model.get_ordered_ops():
        if operator.get_type_name() != "Gelu":
            continue
        readers = list(operator.output(0).get_target_inputs())
        step = measure_step([reader.get_node() for reader in readers])
        polynomial = next((candidate for candidate in POLYNOMIALS if candidate.error < step), None)
        if polynomial is None:
            forms["exact"] += 1
            continue
        replacement = build_gelu(polynomial, operator.input_value(0), operator.get_friendly_name())
        for reader in readers:
            reader.replace_source_output(replacement.output(0))
        forms[f"polynomial of {len(polynomial.coefficients)} terms"] += 1
    model.validate_nodes_and_infer_types()
    return dict(sorted(forms.items()))


def measure_step(readers: Sequence[Any]) -> float:
    """The finest step that a tensor is rounded to by what reads it; 0 if anything reads it as it is."""
    steps = [0.0 if reader.get_type_name() != "FakeQuantize" else quantization_step(reader) for reader in readers]
    return min(steps, default=0.0)


def quantization_step(quantizer: Any) -> float:
    low, high = (quantizer.input_value(i).get_node().get_data() for i in (1, 2))
    return float(np.min(high - low)) / (int(quantizer.get_attributes()["levels"]) - 1)


def build_gelu(polynomial: Polynomial, x: Any, name: str) -> Any:
    """x (1/2 + t P(t t)), t the clipped x."""
    from openvino import opset13 as ops

    clipped = ops.clamp(x, -polynomial.bound, polynomial.bound)
    square = ops.multiply(clipped, clipped)
    *lower, last = polynomial.coefficients
    inner = ops.constant(np.float32(last))
    for coefficient in reversed(lower):
        inner = ops.add(ops.multiply(inner, square), ops.constant(np.float32(coefficient)))
    gate = ops.add(ops.multiply(clipped, inner), ops.constant(np.float32(0.5)))
    product = ops.multiply(x, gate)
    product.set_friendly_name(name)
    return product
