"""How is a LiteRT (TFLite) file run, and what is in it?"""

import math
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array, Network, Structure

# Operators that carry weights, as their second input.
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def open_litert(path: str | Path, threads: int = 0) -> Network:
    """Open a file for the CPU, with the runtime's own delegate (XNNPACK); `threads` of 0 leaves it to the runtime.

    Raises:
        UserError: no such file, a damaged one, or ai-edge-litert is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"LiteRT file {path} does not exist; give the path of a .tflite file")
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise UserError(f"running {path} needs LiteRT; install it with pip install 'rapidnet[litert]'") from None
    try:
        interpreter = Interpreter(str(path), num_threads=threads or None)
        interpreter.allocate_tensors()
        (signature,) = interpreter.get_signature_list()
        runner = interpreter.get_signature_runner(signature)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"LiteRT file {path} cannot be opened ({error}); export it again") from error
    ((name, taken),) = runner.get_input_details().items()
    batch, _, size, _ = (int(length) for length in taken["shape"])

    def run(images: Array) -> dict[str, Array]:
        # The answer lies in the interpreter's memory, which the next call overwrites.
        return {key: np.array(value) for key, value in runner(**{name: images}).items()}

    return Network(run, batch, size, np.dtype(taken["dtype"]).name, f"ai-edge-litert {version('ai-edge-litert')}, CPU")


def inspect_litert(path: str | Path) -> Structure:
    """Read the file's operators, and for each weight how it is stored, through a dequantisation if there is one."""
    try:
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.tools import flatbuffer_utils
    except ImportError:
        raise UserError(f"looking into {path} needs LiteRT; install it with pip install 'rapidnet[litert]'") from None
    model = flatbuffer_utils.read_model(str(path))
    kinds, types = (name_codes(group) for group in (schema.BuiltinOperator, schema.TensorType))
    operators: Counter[str] = Counter()
    convolutions: Counter[str] = Counter()
    weight_bytes: Counter[str] = Counter()
    dilations = []
    for graph in model.subgraphs:
        made_by = {output: operator for operator in graph.operators for output in operator.outputs}
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data):
                weight_bytes[types[tensor.type].lower()] += len(data)
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            operators[kind] += 1
            if kind not in WEIGHTED:
                continue
            weight = operator.inputs[1]
            while weight in made_by:
                weight = made_by[weight].inputs[0]
            convolutions[types[graph.tensors[weight].type].lower()] += 1
            options: Any = operator.builtinOptions
            rates = [getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1)]
            if math.prod(rates) != 1:
                dilations.append(rates)
    return Structure(dict(sorted(operators.items())), dict(convolutions), sorted(dilations), dict(weight_bytes))


def name_codes(group: type) -> dict[int, str]:
    """Number -> name of an enumeration in the schema."""
    return {value: name for name, value in vars(group).items() if isinstance(value, int)}
