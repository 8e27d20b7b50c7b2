"""How is an OpenVINO model run, and what is in its file?"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array, Network, Structure

INPUT_TYPES = {"f32": "float32", "u8": "uint8"}
TYPE_NAMES = {"f32": "float32", "f16": "float16", "i8": "int8", "u8": "uint8", "i32": "int32", "i64": "int64"}
# Operators that carry weights as their second input.
WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def open_openvino(path: str | Path, threads: int = 0, arithmetic: str = "f32") -> Network:
    """Open a model for the CPU; `threads` of 0 leaves the number to OpenVINO.

    It computes in float32 (and int8 where the model says so) unless `arithmetic` is bf16: left alone, OpenVINO uses
    bfloat16 where a processor has it and says nothing.

    Raises:
        UserError: no such file, a damaged one, not one image input, or openvino is not installed.
    """
    openvino, compiled = compile_model(path, threads, arithmetic)
    used = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if used != arithmetic:
        raise UserError(f"OpenVINO model {path} is computed in {used} here: this processor has no {arithmetic}")
    inputs = compiled.inputs
    shape = inputs[0].get_partial_shape() if inputs else []
    kind = inputs[0].get_element_type().get_type_name() if inputs else ""
    if len(inputs) != 1 or len(shape) != 4 or kind not in INPUT_TYPES:
        found = ", ".join(f"{item.get_element_type().get_type_name()} {item.get_partial_shape()}" for item in inputs)
        raise UserError(f"OpenVINO model {path} takes {found}; one float32 or uint8 input [B, 3, H, W] is needed")
    batch, height = (shape[i].get_length() if shape[i].is_static else 0 for i in (0, 2))
    names = [item.get_any_name() for item in compiled.outputs]
    request = compiled.create_infer_request()

    def run(images: Array) -> dict[str, Array]:
        # The request's memory is used again by the next call: an answer has to be a copy.
        answers = request.infer({0: images}, share_inputs=True)
        return {name: answers[i].copy() for i, name in enumerate(names)}

    runtime = f"openvino {openvino.__version__.split('-')[0]}, CPU, {arithmetic}"
    return Network(run, batch, height, INPUT_TYPES[kind], runtime)


def compile_model(path: str | Path, threads: int = 0, arithmetic: str = "f32", count: bool = False) -> tuple[Any, Any]:
    """(the openvino package, the compiled model); raises UserError as `open_openvino` does.

    count: note the time of every operator.
    """
    path = Path(path)
    if not path.is_file() or not path.with_suffix(".bin").is_file():
        raise UserError(f"OpenVINO model {path} does not exist; give the path of an .xml file with its .bin beside it")
    try:
        with telemetry_declined():
            import openvino
    except ImportError:
        raise UserError(f"running {path} needs OpenVINO; install it with pip install 'rapidnet[openvino]'") from None
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": arithmetic, "PERFORMANCE_HINT": "LATENCY"}
    if count:
        config["PERF_COUNT"] = True
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    try:
        return openvino, openvino.Core().compile_model(str(path), "CPU", config)
    except Exception as error:  # OpenVINO raises RuntimeError and its own kinds
        why = " ".join(str(error).split())
        raise UserError(f"OpenVINO model {path} cannot be opened ({why}); export it again") from error


def inspect_openvino(path: str | Path) -> Structure:
    """What the .xml says; under `delegated`, the convolutions that this processor runs in each number format."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"OpenVINO model {path} cannot be read ({error}); export it again") from error
    layers = {layer.attrib["id"]: layer for layer in root.iter("layer")}
    edges = [edge.attrib for edge in root.iter("edge")]
    made_by = {(edge["to-layer"], edge["to-port"]): edge["from-layer"] for edge in edges}
    attributes = {name: data.attrib for name, layer in layers.items() for data in layer.iter("data")}
    kinds = {name: layer.attrib["type"] for name, layer in layers.items()}
    weight_bytes: Counter[str] = Counter()
    convolutions: Counter[str] = Counter()
    dilations = []
    for name, kind in kinds.items():
        if kind == "Const":
            weight_bytes[type_name(attributes[name])] += int(attributes[name]["size"])
        if kind in WEIGHTED:
            weight = made_by[name, "1"]
            # Weights may pass through a conversion, a scale or a reshape on their way.
            while kinds[weight] != "Const" and (weight, "0") in made_by:
                weight = made_by[weight, "0"]
            # Attention multiplies features by features, without weights.
            if kinds[weight] == "Const" or kind != "MatMul":
                convolutions[type_name(attributes[weight]) if kinds[weight] == "Const" else "computed"] += 1
        rates = [int(rate) for rate in attributes.get(name, {}).get("dilations", "").split(",") if rate]
        if set(rates) - {1}:
            dilations.append(rates)
    operators = Counter(kind for kind in kinds.values() if kind != "Const")
    return Structure(
        dict(sorted(operators.items())), dict(convolutions), sorted(dilations), dict(weight_bytes), count_executed(path)
    )  # fmt: skip


def type_name(attributes: dict[str, str]) -> str:
    """float32, int8 and so on, from a constant's attributes."""
    kind = attributes["element_type"]
    return TYPE_NAMES.get(kind, kind)


def count_executed(path: str | Path) -> dict[str, int]:
    """How many convolutions the CPU runs in each of OpenVINO's number formats, once everything is fused."""
    counts: Counter[str] = Counter()
    for operator in compile_model(path)[1].get_runtime_model().get_ordered_ops():
        info = operator.get_rt_info()
        if info["layerType"].astype(str) in ("Convolution", "GroupConvolution", "FullyConnected", "MatMul"):
            counts[info["runtimePrecision"].astype(str)] += 1
    return dict(counts)


@contextmanager
def telemetry_declined() -> Iterator[None]:
    """Importing openvino or nncf sends usage data unless a file in the home folder forbids it; here they find a no.

    Their sender is made once in a process, with the answer it found then, so the no outlasts this block.
    """
    try:
        from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker
    except ImportError:
        yield
        return
    with mock.patch.object(OptInChecker, "check", return_value=ConsentCheckResult.DECLINED):
        yield
