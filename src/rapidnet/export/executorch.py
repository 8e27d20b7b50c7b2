"""How does a captured network become an ExecuTorch program, computed by XNNPACK?"""

import warnings
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram

from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion, Precision
from rapidnet.runtimes.executorch import import_quietly


def convert_executorch(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`; see `Converter`.

    Raises:
        UserError: the extra is not installed.
    """
    with import_quietly(path):
        from executorch.version import __version__
    facts: dict[str, Any] = {"executorch": __version__, "delegate": "XNNPACK"}
    program = conversion.captured.program
    path.write_bytes(lower(program, path))
    return facts


def lower(program: ExportedProgram, path: Path) -> bytes:
    """A program's .pte: what XNNPACK can compute in its graphs, the rest as calls of ExecuTorch's kernels."""
    with import_quietly(path):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        buffer: bytes = edge.to_executorch().buffer
    return buffer


def refuse_executorch(spec: InputSpec, precision: Precision) -> str:
    """Why an artifact cannot be made; empty if it can."""
    return ""
