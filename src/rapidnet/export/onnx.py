"""How does a captured network become an ONNX file, in float32, half precision or int8?"""

import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion, Precision
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
        card |= {"float32": "pixels, their normalisation and the answers; all else is float16"}
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


def halve(model: Any) -> None:
    """Turn the network's part of a float32 ModelProto into float16, from its first convolution to its logits."""
    import onnx

    graph, half, single = model.graph, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    nodes = list(graph.node)
    first = next(i for i, node in enumerate(nodes) if node.op_type == "Conv")
    last = nodes[-1].op_type in ("Softmax", "Sigmoid")
    inside = nodes[first : len(nodes) - last]
    weights = {name for node in inside for name in node.input}
    for item in graph.initializer:
        if item.name in weights and item.data_type == single:
            values = onnx.numpy_helper.to_array(item).astype("float16")
            item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
    entry, logits = nodes[first].input[0], inside[-1].output[0]
    made = {name for node in inside for name in node.output}
    for node in inside:
        rename(node.input, entry, "entry_half")
        rename(node.input, logits, "logits_half")
        rename(node.output, logits, "logits_half")
    del graph.value_info[:]
    assert entry not in made
    cast = onnx.helper.make_node
    nodes.insert(first, cast("Cast", [entry], ["entry_half"], name="to_half", to=half))
    nodes.insert(len(nodes) - last, cast("Cast", ["logits_half"], [logits], name="to_single", to=single))
    del graph.node[:]
    graph.node.extend(nodes)


def rename(names: Any, old: str, new: str) -> None:
    """Replace a tensor's name in a node's inputs or outputs."""
    for i, name in enumerate(names):
        if name == old:
            names[i] = new
