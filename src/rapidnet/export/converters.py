"""Which function makes which format, and what is refused before it starts?"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion, Precision
from rapidnet.export.depthwise import split_depthwise
from rapidnet.runtimes.formats import FORMATS

# Format -> where its `convert_*` and `refuse_*` are, and their suffix.
CONVERTERS = {
    "onnx": ("rapidnet.export.onnx", "onnx"),
    "openvino": ("rapidnet.export.openvino", "openvino"),
    "executorch": ("rapidnet.export.executorch", "executorch"),
    "coreml": ("rapidnet.export.coreml", "coreml"),
    "litert": ("rapidnet.export.litert", "litert"),
    "ncnn": ("rapidnet.export.ncnn", "ncnn"),
    "torch": ("rapidnet.export.aot_inductor", "torch"),
}
ON_XNNPACK = ("executorch", "litert")
# Where a package is imported by another name than pip knows it by.
IMPORT_NAMES = {
    "ai-edge-litert": "ai_edge_litert",
    "ai-edge-quantizer": "ai_edge_quantizer",
    "litert-torch": "litert_torch",
}


@dataclass(frozen=True)
class Made:
    """What came of a conversion: `facts` for the card."""

    artifact: Path
    facts: dict[str, Any]


def refuse(format_name: str, spec: InputSpec, precision: Precision) -> None:
    """Raises UserError, before anything is converted, for what the format cannot hold or lacks packages for."""
    module, suffix = CONVERTERS[format_name]
    reason = getattr(import_module(module), f"refuse_{suffix}")(spec, precision)
    if reason:
        raise UserError(f"{format_name} in {precision} cannot be exported: {reason}")
    kind = FORMATS[format_name]
    missing = [name for name in kind.runs_with + kind.converts_with if find_spec(IMPORT_NAMES.get(name, name)) is None]
    if missing:
        raise UserError(
            f"{format_name} needs {', '.join(missing)}, which is not installed; pip install 'rapidnet[{kind.extra}]'"
        )


def adapt(format_name: str, conversion: Conversion) -> Conversion:
    """The conversion with the network in the form that suits what computes the format; the same answers."""
    return split_depthwise(conversion) if format_name in ON_XNNPACK else conversion


def convert(format_name: str, conversion: Conversion, folder: Path) -> Made:
    """Write the artifact of a format, of an adapted conversion, into `folder`; raises UserError."""
    module, suffix = CONVERTERS[format_name]
    artifact = folder / FORMATS[format_name].artifact
    facts: dict[str, Any] = getattr(import_module(module), f"convert_{suffix}")(conversion, artifact)
    return Made(artifact, facts)
