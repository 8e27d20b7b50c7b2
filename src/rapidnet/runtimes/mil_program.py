"""What operations does a Core ML package hold, and with which constants? Read from its files, nothing is run."""

import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.coreml_tools import import_coremltools
from rapidnet.runtimes.network import Array

# Numbers of the types in Core ML's MIL.proto -> numpy's.
TYPES = {10: "float16", 11: "float32", 12: "float64", 21: "int8", 22: "int16", 23: "int32", 24: "int64",
         31: "uint8", 1: "bool", 2: "str"}  # fmt: skip
DATA = Path("Data") / "com.apple.CoreML"
SENTINEL = 0xDEADBEEF


@dataclass(frozen=True)
class Operation:
    """One operation: its inputs by parameter, each the names of values; and its one output with its type."""

    kind: str
    inputs: dict[str, list[str]]
    output: str
    dtype: str


@dataclass(frozen=True)
class Program:
    """The operations in their order, every constant by name, and what goes in and out.

    shape: of the input, [B, 3, S, S]; image: whether it is pixels from 0 to 255.
    """

    operations: list[Operation]
    constants: dict[str, Any]
    source: str
    targets: list[str]
    shape: list[int]
    image: bool


def read_program(path: str | Path) -> Program:
    """Read an .mlpackage.

    Raises:
        UserError: no such package, a damaged one, or coremltools is not installed.
    """
    path = Path(path)
    try:
        spec = load_spec(path / DATA / "model.mlmodel")
        blob = (path / DATA / "weights" / "weight.bin").read_bytes()
    except OSError as error:
        raise UserError(f"Core ML package {path} cannot be read ({error}); export it again") from error
    (function,) = spec.mlProgram.functions.values()
    block = function.block_specializations[function.opset]
    constants: dict[str, Any] = {}
    operations = []
    for item in block.operations:
        output = item.outputs[0]
        if item.type == "const":
            constants[output.name] = read_value(item.attributes["val"], blob)
            continue
        inputs = {key: [bound.name for bound in value.arguments if bound.name] for key, value in item.inputs.items()}
        for key, value in item.attributes.items():
            if key != "name":
                constants[f"{output.name}.{key}"] = read_value(value, blob)
                inputs[key] = [f"{output.name}.{key}"]
        dtype = TYPES[output.type.tensorType.dataType]
        operations.append(Operation(item.type, inputs, output.name, dtype))
    (taken,) = spec.description.input
    targets = [made.name for made in spec.description.output]
    image = taken.type.WhichOneof("Type") == "imageType"
    kind = taken.type.imageType
    shape = [1, 3, kind.height, kind.width] if image else list(taken.type.multiArrayType.shape)
    return Program(operations, constants, taken.name, targets, [int(size) for size in shape], image)


def load_spec(path: Path) -> Any:
    """The package's protocol buffer."""
    import_coremltools(path)
    spec = sys.modules["coremltools.proto.Model_pb2"].Model()
    spec.ParseFromString(path.read_bytes())
    return spec


def read_value(value: Any, blob: bytes) -> Any:
    """A constant: an array, a number, or a string."""
    kind = value.type.tensorType
    dtype = TYPES[kind.dataType]
    shape = [dimension.constant.size for dimension in kind.dimensions]
    if value.WhichOneof("value") == "blobFileValue":
        return read_blob(blob, value.blobFileValue.offset, dtype).reshape(shape)
    tensor = value.immediateValue.tensor
    field = tensor.WhichOneof("value")
    values = getattr(tensor, field).values
    if field == "strings":
        return str(values[0])
    array = np.frombuffer(values, dtype) if field == "bytes" else np.array(list(values), dtype=dtype)
    return array.reshape(shape) if shape else array.reshape(-1)[0]


def read_blob(blob: bytes, offset: int, dtype: str) -> Array:
    """The values that a header at `offset` of the weights file points at; raises UserError for a wrong header."""
    sentinel, _, size, start = struct.unpack_from("<IIQQ", blob, offset)
    if sentinel != SENTINEL or start + size > len(blob):
        raise UserError("the Core ML package's weight.bin does not fit its program; export it again")
    return np.frombuffer(blob, dtype, size // np.dtype(dtype).itemsize, start)
