"""How does a captured network become a package that torch runs without Python code, compiled for this CPU?"""

import os
import platform
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec, export_program
from rapidnet.export.conversion import Conversion, Precision
from rapidnet.export.half import answer_in_float, halve_network


def refuse_torch(spec: InputSpec, precision: Precision) -> str:
    """Why no file of this kind can be made; '' if it can. Batch and size may vary."""
    if precision == "int8":
        return "AOTInductor's int8 is not offered here; take openvino or onnx for int8 on this kind of CPU"
    return ""


class Half(nn.Module):
    """A module in half precision whose answers are float32."""

    def __init__(self, module: nn.Module, raw: bool) -> None:
        super().__init__()
        self.module, self.raw = halve_network(module), raw

    def forward(self, pixels: Tensor) -> Any:
        return answer_in_float(self.module(pixels.half() if self.raw else pixels))


def convert_torch(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`; see `Converter`.

    Raises:
        UserError: no C++ compiler is found.
    """
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.exc import InductorError

    captured = conversion.captured
    program = captured.program if conversion.precision == "fp32" else halve(captured)
    notes = {"output": ",".join(captured.outputs), "input": "float32" if captured.spec.raw else "uint8"}
    with private_cache(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Names of answers and the kind of input are kept beside them: a package knows its outputs by position.
            aoti_compile_and_package(
                program, package_path=str(path),
                inductor_configs={"aot_inductor.metadata": notes},
            )  # fmt: skip
        except InductorError as error:
            said = str(error).strip().splitlines()[0]
            raise UserError(f"torch: the network could not be compiled ({said}); install a C++ compiler") from error
    return {
        "torch": torch.__version__,
        "compiled_for": f"{platform.system()} {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "note": "native code for this kind of machine only; opening it runs that code",
        "weights": "float16, computed in float16" if conversion.precision == "fp16" else "float32",
    }


def halve(captured: Captured) -> ExportedProgram:
    return export_program(Half(captured.module, captured.spec.raw), captured.example, captured.spec)


@contextmanager
def private_cache() -> Iterator[None]:
    """Compile where nothing is left behind and nothing stale is found."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
