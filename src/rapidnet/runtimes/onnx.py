"""How is an ONNX file run, and what is in it?"""

from collections import Counter
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array, Network, Structure

INPUT_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


def open_onnx(path: str | Path, threads: int = 0) -> Network:
    """Open a file for the CPU; `threads` of 0 leaves the number to ONNX Runtime.

    Raises:
        UserError: no such file, a damaged one, not one image input, or onnxruntime is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"ONNX file {path} does not exist; give the path of an .onnx file")
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"running {path} needs ONNX Runtime; install it with pip install 'rapidnet[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        why = " ".join(str(error).split())
        raise UserError(f"ONNX file {path} cannot be opened ({why}); export it again") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in INPUT_TYPES:
        found = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise UserError(f"ONNX file {path} takes {found}; one float32 or uint8 input [B, 3, H, W] is needed")
    batch, _, height, _ = (size if isinstance(size, int) else 0 for size in inputs[0].shape)
    names = [item.name for item in session.get_outputs()]

    def run(images: Array) -> dict[str, Array]:
        return dict(zip(names, session.run(names, {inputs[0].name: images}), strict=True))

    return Network(run, batch, height, INPUT_TYPES[inputs[0].type], f"onnxruntime {onnxruntime.__version__}, CPU")


def inspect_onnx(path: str | Path) -> Structure:
    """What the file holds, before ONNX Runtime's own optimisation."""
    try:
        import onnx
    except ImportError:
        raise UserError(f"looking into {path} needs onnx; install it with pip install 'rapidnet[onnx]'") from None
    graph = onnx.load(str(path)).graph
    constants = {item.name: item for item in graph.initializer}
    # A weight may pass through a cast or a dequantisation on its way to the convolution.
    made_by = {name: node for node in graph.node for name in node.output}
    weight_bytes: Counter[str] = Counter()
    for item in constants.values():
        weight_bytes[type_name(onnx, item.data_type)] += len(onnx.numpy_helper.to_array(item).tobytes())

    def stored_type(name: str) -> str:
        while name not in constants and name in made_by and made_by[name].op_type in REWRITTEN:
            name = made_by[name].input[0]
        return type_name(onnx, constants[name].data_type) if name in constants else "computed"

    convolutions: Counter[str] = Counter()
    dilations = []
    for node in graph.node:
        if node.op_type in WEIGHT_INPUT:
            stored = stored_type(node.input[WEIGHT_INPUT[node.op_type]])
            # Attention multiplies features by features, without weights.
            convolutions[stored] += stored != "computed" or node.op_type == "Conv"
            rates: list[Any] = [list(item.ints) for item in node.attribute if item.name == "dilations"]
            dilations += [rate for rate in rates if set(rate) != {1}]
    operators = Counter(f"{node.domain}.{node.op_type}".lstrip(".") for node in graph.node)
    found = {kind: count for kind, count in convolutions.items() if count}
    return Structure(dict(sorted(operators.items())), found, sorted(dilations), dict(weight_bytes))


# Operators that carry weights, and which input those are.
WEIGHT_INPUT = {"Conv": 1, "Gemm": 1, "MatMul": 1, "QLinearConv": 3, "ConvInteger": 1, "QLinearMatMul": 3}

# What a weight may pass through and stay the same weight.
REWRITTEN = ("Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Transpose")


def type_name(onnx: Any, data_type: int) -> str:
    """float32, int8 and so on, from ONNX's number of a type."""
    return str(onnx.helper.tensor_dtype_to_np_dtype(data_type))
