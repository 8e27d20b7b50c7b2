"""How is an ONNX file run?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError


@dataclass(frozen=True)
class OnnxNetwork:
    """A network in ONNX Runtime: `run` maps its one input [B, 3, H, W] to its outputs by name.

    `size` is the height and width in pixels that the file asks for, 0 if it takes any; `batch` likewise.
    """

    run: Callable[[np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]
    size: int
    batch: int


def open_onnx(path: str | Path, threads: int = 0) -> OnnxNetwork:
    """Open a file for the CPU; `threads` of 0 leaves the number to ONNX Runtime.

    Raises:
        UserError: no such file, a damaged one, not one float32 image input, or onnxruntime is not installed.
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
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise UserError(f"ONNX file {path} takes {found}; one float32 input [B, 3, H, W] is needed")
    batch, _, height, _ = (size if isinstance(size, int) else 0 for size in inputs[0].shape)
    names = [item.name for item in session.get_outputs()]

    def run(images: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        return dict(zip(names, session.run(names, {inputs[0].name: images}), strict=True))

    return OnnxNetwork(run, height, batch)
