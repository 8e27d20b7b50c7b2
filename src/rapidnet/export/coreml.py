"""How does a captured network become a Core ML program, in float32, float16 or with int8 weights?"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion, Precision

TARGET = "iOS17"
"""The first system whose programs may hold every operator that is written here."""
# Files that the converter leaves in a package and that Core ML does not read.
LEFTOVERS = ("executorch_debug_handle_mapping.json",)


def refuse_coreml(spec: InputSpec, precision: Precision) -> str:
    """Why no file of this kind can be made; '' if it can."""
    if not spec.static or spec.max_batch > 1:
        return "its image inputs have a fixed shape; leave out --max-batch and --max-image-size"
    return ""


def convert_coreml(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`, a folder; see `Converter`.

    Raises:
        UserError: the extra is not installed, a GELU that the converter gets wrong, an unknown name in keep_float.
    """
    with quiet():
        try:
            import coremltools
        except ImportError:
            raise UserError("exporting to coreml needs more packages; pip install 'rapidnet[coreml]'") from None
        refuse_tanh_gelu(conversion.captured.module)
        model = convert_program(coremltools, conversion)
        facts: dict[str, Any] = {"coremltools": version("coremltools"), "minimum_system": TARGET}
        if conversion.precision == "int8":
            model = quantize_weights(coremltools, model, conversion)
            facts |= {
                "weights": "int8, symmetric, per output channel",
                "activations": "float16: only the weights are integers",
            }
        model.save(str(path))
    for name in LEFTOVERS:
        (path / name).unlink(missing_ok=True)
    return facts


def refuse_tanh_gelu(module: nn.Module) -> None:
    """The converter writes a tanh GELU as an exact one without a word, which is another network."""
    for layer in module.modules():
        if getattr(layer, "approximate", "none") == "tanh" or type(layer).__name__ == "GELUTanh":
            raise UserError("coreml: coremltools turns a tanh GELU into an exact one; train with act_layer gelu")


def convert_program(coremltools: Any, conversion: Conversion) -> Any:
    """The program, with pixels as an RGB image or, for a raw artifact, a float32 tensor."""
    captured = conversion.captured
    with torch.no_grad():
        # Core ML has no eight-bit tensors: an image's pixels arrive as numbers from 0 to 255.
        program = torch.export.export(captured.module, (captured.example.float(),)).run_decompositions({})
    shape = tuple(captured.example.shape)
    if captured.spec.raw:
        taken = coremltools.TensorType(name="pixels", shape=shape, dtype=np.float32)
    else:
        taken = coremltools.ImageType(name="pixels", shape=shape, color_layout=coremltools.colorlayout.RGB)
    precision: Any = coremltools.precision.FLOAT32
    if conversion.precision != "fp32":
        precision = coremltools.precision.FLOAT16
        if not captured.module.activation:
            # Half has no room for the pixels that boxes are counted in.
            precision = coremltools.transform.FP16ComputePrecision(op_selector=leads_to_convolution)
    return coremltools.convert(
        program,
        convert_to="mlprogram",
        inputs=[taken],
        outputs=[coremltools.TensorType(name=name, dtype=np.float32) for name in captured.outputs],
        compute_precision=precision,
        minimum_deployment_target=getattr(coremltools.target, TARGET),
        skip_model_load=True,
    )


def leads_to_convolution(operation: Any) -> bool:
    """Whether an operation of the program is a convolution, or one takes what comes of it."""
    waiting, seen = [operation], set()
    while waiting:
        one = waiting.pop()
        if one.op_type == "conv":
            return True
        for child in (child for output in one.outputs for child in output.child_ops):
            if child.name not in seen:
                seen.add(child.name)
                waiting.append(child)
    return False


def quantize_weights(coremltools: Any, model: Any, conversion: Conversion) -> Any:
    """int8 weights, symmetric, one scale per output channel, but for the modules in `keep_float`."""
    optimize = coremltools.optimize.coreml
    whole = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
    names = find_weights(model, conversion.captured)
    kept: dict[str, None] = {}
    for layer in conversion.keep_float:
        if layer not in names:
            raise UserError(f"keep_float names '{layer}', which is no convolution of the folded network")
        kept[names[layer]] = None
    return optimize.linear_quantize_weights(
        model, optimize.OptimizationConfig(global_config=whole, op_name_configs=kept or None)
    )


def find_weights(model: Any, captured: Captured) -> dict[str, str]:
    """Module of the folded network -> the program's name for its weight, which is made of the module's own."""
    (function,) = model.get_spec().mlProgram.functions.values()
    block = function.block_specializations[function.opset]
    consts = [output.name for op in block.operations if op.type == "const" for output in op.outputs]
    layers = [name for name, layer in captured.module.network.named_modules() if isinstance(layer, nn.Conv2d)]
    stems = {name: f"p_network_{name.replace('.', '_')}_weight" for name in layers}
    return {name: const for name, stem in stems.items() for const in consts if const.startswith(stem)}


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars, and without what is said on systems that have no Core ML."""
    before, silence = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
