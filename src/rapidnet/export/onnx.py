"""How does a captured network become an ONNX file, in float32, half precision or int8?"""

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion, Precision
from rapidnet.export.onnx_half import halve
from rapidnet.export.onnx_int8 import quantize_onnx

OPSET = 20
"""The first with a Gelu of its own, which runtimes compute at once."""


def refuse_onnx(spec: InputSpec, precision: Precision) -> str:
    """Why no file of this kind can be made; '' if it can. Every precision takes varying batches and sizes."""
    return ""


def convert_onnx(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`; see `Converter`.

    Raises:
        UserError: the extra is not installed, int8 without calibration images, or an unknown name in keep_float.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("exporting to onnx needs more packages; pip install 'rapidnet[onnx]'") from None
    model = build_onnx(conversion)
    card: dict[str, Any] = {"opset": OPSET, "onnx": onnx.__version__, "onnxscript": version("onnxscript")}
    if conversion.precision == "fp16":
        halve(model)
        card |= {"float32": "pixels, their normalisation, and what is behind the last convolution; all else is float16"}
    elif conversion.precision == "int8":
        card |= quantize_onnx(model, conversion)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return card


def build_onnx(conversion: Conversion) -> Any:
    """The float32 ModelProto, its weights within."""
    captured = conversion.captured
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            captured.program, (captured.example,), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["pixels"], output_names=list(captured.outputs), external_data=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    # The exporter notes where each node came from, with the paths of this machine and its stack.
    graph = model.graph
    for item in [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        del item.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    return model
