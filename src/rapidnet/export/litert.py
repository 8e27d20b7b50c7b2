"""How does a captured network become a LiteRT (TFLite) file, in float32, with half weights or in int8?"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion, Precision

# Computed in float in an int8 file: the normalisation, whose inputs are exact, the global mean and the answers.
FLOAT_OPERATORS = ("SUB", "MUL", "MEAN", "SOFTMAX", "LOGISTIC", "INPUT", "OUTPUT")


def refuse_litert(spec: InputSpec, precision: Precision) -> str:
    """Why no file of this kind can be made; '' if it can."""
    if not spec.static:
        return "the converter writes fixed shapes; leave out --max-batch and --max-image-size, or add --fixed-batch"
    return ""


def convert_litert(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`; see `Converter`.

    Raises:
        UserError: the extra is not installed, int8 without calibration images, or an unknown name in keep_float.
    """
    try:
        import ai_edge_quantizer  # noqa: F401
        import litert_torch  # noqa: F401
    except ImportError:
        raise UserError("exporting to litert needs more packages; pip install 'rapidnet[litert]'") from None
    facts: dict[str, Any] = {name: version(name) for name in ("litert-torch", "ai-edge-litert", "ai-edge-quantizer")}
    with quiet():
        model = convert_float(conversion.captured)
        if conversion.precision == "fp16":
            model = halve(model)
            facts |= {"weights": "stored in float16, computed in float32"}
        elif conversion.precision == "int8":
            model = quantize(model, conversion)
            facts |= {
                "weights": "int8, symmetric, per output channel", "activations": "int8, per tensor",
                "calibration_images": 0 if conversion.calibration is None else len(conversion.calibration),
                "gelu": "int8 to int8: a table of 256 entries in the runtime",
                "float32": "normalisation, global mean and answers",
            }  # fmt: skip
    path.write_bytes(model)
    return facts


def convert_float(captured: Captured) -> bytes:
    """The float32 file, its input and output by the names that every other format has."""
    import litert_torch
    from ai_edge_litert.tools import flatbuffer_utils

    edge = litert_torch.convert(captured.module, (captured.example,))
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(edge.model_content()))
    (signature,) = model.signatureDefs
    signature.inputs[0].name = b"pixels"
    # Named output_0, output_1 and so on, in an order of their own.
    for output in signature.outputs:
        output.name = captured.outputs[int(output.name.decode().rpartition("_")[2])].encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def halve(model: bytes) -> bytes:
    """Store the weights of convolutions in float16; runtimes read them as float32."""
    from ai_edge_quantizer import qtyping, quantizer

    rewrite = quantizer.Quantizer(model)
    half = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        rewrite.update_quantization_recipe(
            ".*", qtyping.TFLOperationName[name], half, quantizer.AlgorithmName.FLOAT_CASTING
        )
    return bytes(rewrite.quantize().quantized_model)


def quantize(model: bytes, conversion: Conversion) -> bytes:
    """Static int8: weights per output channel, activations between the extremes of the calibration images."""
    from ai_edge_quantizer import qtyping, quantizer

    if conversion.calibration is None or not len(conversion.calibration):
        raise UserError("int8 needs calibration images; give training images to choose the ranges with")
    rewrite = quantizer.Quantizer(model)
    rewrite.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for name in FLOAT_OPERATORS:
        leave_float(rewrite, ".*", qtyping.TFLOperationName[name])
    for layer in sorted(conversion.keep_float):
        for name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            leave_float(rewrite, write_scope(layer), qtyping.TFLOperationName[name])
    example = conversion.captured.example.numpy()
    images = [{"pixels": portion.astype(example.dtype)} for portion in conversion.portions()]
    # One thread, so that equal images give equal files.
    result = rewrite.calibrate({"serving_default": images}, num_threads=1)
    return bytes(rewrite.quantize(result).quantized_model)


def leave_float(rewrite: Any, scope: str, operator: Any) -> None:
    from ai_edge_quantizer import quantizer

    rewrite.update_quantization_recipe(scope, operator, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)


def write_scope(layer: str) -> str:
    """What matches the tensors of a module: their names hold each module on the way, as class_name."""
    return "Deployed/" + "/".join(f"[^/;]*_{part}" for part in ["network", *layer.split(".")]) + ";"


@contextmanager
def quiet() -> Iterator[None]:
    """Without the converters' progress, on the log and on both streams, and their deprecation warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        silence = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
