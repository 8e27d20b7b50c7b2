"""How does a captured network become an ExecuTorch program, computed by XNNPACK?"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram

from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec
from rapidnet.export.conversion import Conversion, Precision
from rapidnet.models.mixers import AllPairs
from rapidnet.runtimes.executorch import import_quietly

# All that conversions use. Importing these warns of much that is not the user's to mend; afterwards it is silent.
NOISY = (
    "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "executorch.backends.xnnpack.quantizer.xnnpack_quantizer",
    "executorch.exir",
    "torchao.quantization.pt2e.quantize_pt2e",
)


def convert_executorch(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path`; see `Converter`.

    Raises:
        UserError: the extra is not installed; attention over a batch that varies.
    """
    attends = any(isinstance(module, AllPairs) for module in conversion.captured.module.modules())
    if attends and not conversion.captured.spec.batch:
        # Its programs are written, and fail when they run.
        raise UserError(
            "ExecuTorch computes no attention over a batch that varies; leave out --max-batch, or add --fixed-batch"
        )
    with import_quietly(path):
        for name in NOISY:
            import_module(name)
        import torchao
        from executorch.version import __version__
    facts: dict[str, Any] = {"executorch": __version__, "delegate": "XNNPACK"}
    program, spec = conversion.captured.program, conversion.captured.spec
    writing: AbstractContextManager[None] = nullcontext()
    if conversion.precision == "int8":
        from rapidnet.export.executorch_int8 import SCHEME, quantize

        program = quantize(conversion)
        facts |= {"torchao": torchao.__version__, "quantization": SCHEME, "float": sorted(conversion.keep_float)}
    elif conversion.precision == "fp16":
        from rapidnet.export import executorch_fp16

        program, writing = executorch_fp16.build_half_program(conversion.captured), executorch_fp16.keep_half_weights()
        facts["quantization"] = executorch_fp16.SCHEME
    # A program says neither which of its dimensions may vary nor what its output is called, so that is kept beside it.
    notes = {
        "output_name": ",".join(conversion.captured.outputs),
        "batch": spec.batch,
        "size": spec.image_size if spec.max_image_size == spec.image_size else 0,
        "width": spec.width,
    }
    with writing:
        path.write_bytes(lower(program, notes))
    return facts


def lower(program: ExportedProgram, notes: dict[str, Any]) -> bytes:
    """A program's .pte: what XNNPACK can compute in its graphs, the rest as calls of ExecuTorch's kernels.

    notes: answers of methods without an input that the file has beside `forward`.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        partitioner = XnnpackPartitioner(configs=build_partition_rules())
        edge = to_edge_transform_and_lower(program, partitioner=[partitioner], constant_methods=notes)
        buffer: bytes = edge.to_executorch().buffer
    return buffer


def build_partition_rules() -> list[type]:
    """What XNNPACK is given: ExecuTorch's own list, but a GELU stays in the number format around it.

    XNNPACK computes any 8-bit activation by one look-up in a table of 256 entries, and has a GELU for half. ExecuTorch
    knows neither: it would take every int8 GELU to float and back, and cut the graph in two at every half one.
    """
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
    from executorch.backends.xnnpack.partition.config.generic_node_configs import GeluConfig
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType

    class AnyGelu(GeluConfig):
        def supported_precision_types(self) -> list[Any]:
            return [ConfigPrecisionType.FP32, ConfigPrecisionType.STATIC_QUANT]

        def check_constraints(self, node: Any, ep: ExportedProgram) -> bool:
            fits: bool = self.check_common_constraints(node, ep)
            return fits

    return [AnyGelu if rule is GeluConfig else rule for rule in ALL_PARTITIONER_CONFIGS]


def refuse_executorch(spec: InputSpec, precision: Precision) -> str:
    """Why an artifact cannot be made; empty if it can."""
    return ""
