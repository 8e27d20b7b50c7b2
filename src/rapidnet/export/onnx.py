"""How does a captured network become an ONNX file?"""

import warnings
from pathlib import Path
from typing import Any

import torch

from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion, Precision

OPSET = 20
"""The first with a Gelu of its own, which runtimes compute at once."""


def convert_onnx(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`; see `Converter`.

    Raises:
        UserError: the extra is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("exporting to onnx needs more packages; pip install 'rapidnet[onnx]'") from None
    captured = conversion.captured
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            captured.program, (captured.example,), dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["pixels"], output_names=[captured.output], external_data=False,
        )  # fmt: skip
    assert program is not None
    program.save(str(path), external_data=False)
    return {"opset": OPSET}


def refuse_onnx(spec: InputSpec, precision: Precision) -> str:
    return "" if precision == "fp32" else "not yet"
