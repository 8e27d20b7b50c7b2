"""What does XNNPACK compute inside an ExecuTorch file, read from the graph that the file hands to it?"""

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEADER = b"XH00"
"""What marks a payload with a header before its graph; it stands where a bare graph has its own mark."""

# XNNPACK's names of number formats -> NumPy's. What a weight is stored as, whatever its scales are.
NUMBER_FORMATS = {
    "fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "qint8": "int8", "qcint8": "int8", "quint8": "uint8",
    "qint32": "int32", "qcint32": "int32", "qcint4": "int4", "qbint4": "int4", "int32": "int32",
}  # fmt: skip
# Operators that carry weights, and which of their values those are.
WEIGHTS = {"XNNConv2d": "filter_id", "XNNDepthwiseConv2d": "filter_id", "XNNConvTranspose2d": "filter_id",
           "XNNFullyConnected": "filter_id", "XNNBatchMatrixMultiply": "input2_id"}  # fmt: skip


@dataclass
class Payload:
    """One graph, or several counted together; the meaning of a `Structure`'s fields of the same name."""

    operators: Counter[str] = field(default_factory=Counter)
    convolutions: Counter[str] = field(default_factory=Counter)
    dilations: list[list[int]] = field(default_factory=list)
    weight_bytes: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Payload") -> None:
        self.operators += other.operators
        self.convolutions += other.convolutions
        self.dilations += other.dilations
        self.weight_bytes += other.weight_bytes


def read_payload(payload: bytes) -> Payload:
    """Count what one XNNPACK payload holds.

    Raises:
        ValueError: it is not a graph that the installed ExecuTorch can read.
    """
    return count_graph(decode_graph(payload))


def decode_graph(payload: bytes) -> dict[str, Any]:
    """The graph as ExecuTorch's own schema spells it: xnodes, xvalues, constant_data and so on."""
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader, _get_schema_bytes
    from executorch.exir._serialize._flatbuffer import _run_flatc

    if payload[4:8] == HEADER:
        header = XNNHeader.from_bytes(payload[: XNNHeader.EXPECTED_LENGTH])
        payload = payload[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size]
    # The package ships the schema and its compiler, but no reader of these graphs; the compiler writes them as JSON.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "schema.fbs").write_bytes(_get_schema_bytes())
        (folder / "graph.bin").write_bytes(payload)
        arguments = ["--json", "--strict-json", "--defaults-json", "-o", str(folder)]
        try:
            _run_flatc([*arguments, str(folder / "schema.fbs"), "--", str(folder / "graph.bin")])
            # Open bounds of an operator's output are written as bare inf, which JSON has no word for.
            text = (folder / "graph.json").read_bytes().decode("utf-8", "replace")
            graph: dict[str, Any] = json.loads(text.replace(": -inf", ": null").replace(": inf", ": null"))
        except Exception as error:  # the compiler's failures share no base class with JSON's
            raise ValueError(f"not an XNNPACK graph: {error}") from error
    return graph


def count_graph(graph: dict[str, Any]) -> Payload:
    """Count a decoded graph's operators, weights and dilations."""
    values: dict[int, dict[str, Any]] = {}
    for item in graph["xvalues"]:
        value = item["xvalue_union"]
        value = value.get("tensor_value", value)  # quantised values wrap a plain one
        values[value["id_out"]] = value
    payload = Payload()
    for node in graph["xnodes"]:
        kind, fields = node["xnode_union_type"].removeprefix("_"), node["xnode_union"]
        payload.operators[kind] += 1
        if kind in WEIGHTS:
            payload.convolutions[name_format(values[fields[WEIGHTS[kind]]])] += 1
        rates = [fields.get("dilation_height", 1), fields.get("dilation_width", 1)]
        if rates != [1, 1]:
            payload.dilations.append(rates)
    # A constant that two values share is stored once.
    stored = {value["constant_buffer_idx"]: value for value in values.values() if value["constant_buffer_idx"]}
    for index, value in stored.items():
        payload.weight_bytes[name_format(value)] += graph["constant_data"][index]["size"]
    return payload


def name_format(value: dict[str, Any]) -> str:
    name = value["datatype"].removeprefix("xnn_datatype_")
    return NUMBER_FORMATS.get(name, name)
