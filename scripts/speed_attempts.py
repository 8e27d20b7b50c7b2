"""What has been tried to make RapidNet-Ti faster than it is exported, and what did each attempt bring?

    python scripts/speed_attempts.py --results results/speed_attempts.jsonl

Each attempt changes the network as exported in one way; all of a runtime and precision take turns with MobileNetV2
x1.4, one image, one thread. `expected` was written before this script's first run,
but after trials by hand on a busy machine that had shown most of int8 and some of the rest. Bounds are no attempts:
they compute another function and show what a GELU that cost nothing, or next to nothing, would give.
"""

import argparse
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as ops
from torch import Tensor, nn

from rapidnet.benchmark.estimates import compare
from rapidnet.benchmark.schedule import Mode, take_turns
from rapidnet.benchmark.worker import time_runs
from rapidnet.config.export import ExportConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.export import openvino_int8
from rapidnet.export.capture import Captured, export_program
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import convert
from rapidnet.export.openvino import build_openvino, in_silence
from rapidnet.export.untrained import prepare_untrained
from rapidnet.models.rapidnet import MultiLevelDilatedConv
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Array

PEER = "mobilenetv2_140"
AS_EXPORTED = "as exported"
Change = Callable[[Any], Any]


class QuickGelu(nn.Module):
    """x sigmoid(1.702 x), the cheapest smooth stand-in that ONNX Runtime has a kernel for."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def merge_pointwise(captured: Captured) -> Captured:
    """The linear 1x1 before the dilated pair, multiplied into both; its bias moves before it, where padding is."""
    module = deepcopy(captured.module)
    for layer in module.modules():
        if isinstance(layer, MultiLevelDilatedConv):
            weight, bias = layer.fc1.conv.weight[:, :, 0, 0].double(), layer.fc1.conv.bias.double()
            layer.depthwise.bias.data += torch.linalg.solve(weight, bias).float()
            for branch in layer.branches:
                merged = torch.einsum("omhw,mi->oihw", branch.conv.weight.double(), weight)
                branch.conv.weight.data = merged.float()
            layer.fc1 = nn.Identity()
    return recapture(captured, module)


def fold_scale(captured: Captured) -> Captured:
    """The division by the standard deviation, multiplied into the first convolution."""
    module = deepcopy(captured.module)
    stem = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    stem.weight.data *= module.scale
    module.scale = torch.ones_like(module.scale)
    return recapture(captured, module)


def swap_activation(kind: type[nn.Module]) -> Change:
    def change(captured: Captured) -> Captured:
        module = deepcopy(captured.module)
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.GELU) or type(child).__name__.startswith("GELU"):
                    setattr(parent, name, kind())
        return recapture(captured, module)

    return change


def recapture(captured: Captured, module: nn.Module) -> Captured:
    program = export_program(module.eval(), captured.example, captured.spec)
    return replace(captured, module=module, program=program)


def rewrite(build: Callable[[Any], Any] | None) -> Change:
    """Replace each Gelu of an openvino.Model by what `build` makes of its input; None leaves it exact."""

    def change(model: Any) -> None:
        for operator in model.get_ordered_ops():
            if build is not None and operator.get_type_name() == "Gelu":
                made = build(operator.input_value(0))
                for reader in list(operator.output(0).get_target_inputs()):
                    reader.replace_source_output(made.output(0))
        model.validate_nodes_and_infer_types()

    return change


def polynomial(index: int) -> Callable[[Any], Any]:
    return lambda x: openvino_int8.build_gelu(openvino_int8.POLYNOMIALS[index], x, "")


@dataclass(frozen=True)
class Attempt:
    """network: a change of the captured network; graph: of the OpenVINO model, after int8's rounding.

    expected: times the network as exported, before it was measured; bound: computes another function.
    """

    name: str
    runtime: str
    precision: str
    expected: float | None
    network: Change | None = None
    graph: Change | None = None
    config: tuple[tuple[str, str], ...] = ()
    bound: bool = False


MERGED = "1x1 multiplied into the dilated pair"
SHORT = ("GELU as a polynomial of 4 terms, a kernel of its own", polynomial(2))
NO_SNIPPETS = (("SNIPPETS_MODE", "DISABLE"),)
ATTEMPTS = [
    Attempt(AS_EXPORTED, "onnx", "fp32", None),
    Attempt(MERGED, "onnx", "fp32", 0.985, merge_pointwise),
    Attempt("division by the deviation in the first convolution", "onnx", "fp32", 0.998, fold_scale),
    Attempt("x sigmoid(1.702 x)", "onnx", "fp32", 0.93, swap_activation(QuickGelu), bound=True),
    Attempt("ReLU", "onnx", "fp32", 0.8, swap_activation(nn.ReLU), bound=True),
    Attempt(AS_EXPORTED, "openvino", "fp32", None),
    Attempt(MERGED, "openvino", "fp32", 0.985, merge_pointwise),
    Attempt("division by the deviation in the first convolution", "openvino", "fp32", 0.998, fold_scale),
    Attempt(SHORT[0], "openvino", "fp32", 0.98, graph=rewrite(SHORT[1]), bound=True),
    Attempt("ReLU", "openvino", "fp32", 0.88, graph=rewrite(ops.relu), bound=True),
    Attempt(AS_EXPORTED, "openvino", "bf16", None),
    Attempt(MERGED, "openvino", "bf16", 0.98, merge_pointwise),
    Attempt(SHORT[0], "openvino", "bf16", 0.92, graph=rewrite(SHORT[1])),
    Attempt("GELU by tanh, fused", "openvino", "bf16", 1.0, graph=rewrite(lambda x: ops.gelu(x, "tanh"))),
    Attempt("hard-swish", "openvino", "bf16", 0.85, graph=rewrite(ops.hswish), bound=True),
    Attempt("ReLU", "openvino", "bf16", 0.8, graph=rewrite(ops.relu), bound=True),
    Attempt(AS_EXPORTED, "openvino", "int8", None, graph=openvino_int8.rewrite_gelus),
    Attempt("exact GELU, fused, as NNCF leaves it", "openvino", "int8", 1.15, graph=rewrite(None)),
    Attempt(MERGED, "openvino", "int8", 0.97, merge_pointwise, openvino_int8.rewrite_gelus),
    Attempt("no kernels compiled for chains", "openvino", "int8", 0.95, graph=openvino_int8.rewrite_gelus,
            config=NO_SNIPPETS),
    Attempt("polynomial of 2 terms everywhere", "openvino", "int8", 0.98, graph=rewrite(polynomial(0)), bound=True),
    Attempt("hard-swish", "openvino", "int8", 0.93, graph=rewrite(ops.hswish), bound=True),
    Attempt("ReLU", "openvino", "int8", 0.87, graph=rewrite(ops.relu), bound=True),
]  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """What takes turns: one inference in this process."""

    call: Callable[[], Any]

    def run(self, count: int, warm: int) -> list[float]:
        return time_runs(self.call, count, warm)


def open_onnx(captured: Captured, images: Array, folder: Path) -> Callable[[], Any]:
    folder.mkdir(parents=True)
    made = convert("onnx", Conversion(captured, "fp32"), folder)
    network = FORMATS["onnx"].open(made.artifact, 1)
    return lambda: network.run(images[:1])


def open_openvino(captured: Captured, attempt: Attempt, images: Array) -> Callable[[], Any]:
    """Compiled as the runtime does it, the change of the graph made after int8's scales were chosen."""
    with in_silence():
        model = build_openvino(captured)
        if attempt.precision == "int8":
            # Its own rewriting of GELUs is one of the attempts.
            rewriting, openvino_int8.rewrite_gelus = openvino_int8.rewrite_gelus, lambda model: {"exact": 1}
            try:
                model, _ = openvino_int8.quantize_openvino(model, Conversion(captured, "int8", images))
            finally:
                openvino_int8.rewrite_gelus = rewriting
        if attempt.graph is not None:
            attempt.graph(model)
    hint = "bf16" if attempt.precision == "bf16" else "f32"
    config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1} | dict(attempt.config)
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer({0: images[:1]}, share_inputs=True)


def read(name: str, precision: str) -> tuple[Captured, Array]:
    """A network as `rapidnet bench` takes it, and the pixels that int8's scales come from."""
    job = prepare_untrained(name, ExportConfig(name, "onnx", precision, "unused", keep_float="none"))  # type: ignore[arg-type]
    assert job.calibration is not None
    return job.captured, job.calibration


def measure(attempts: list[Attempt], networks: dict[str, tuple[Captured, Array]], mode: Mode) -> list[dict[str, Any]]:
    """Rows of one runtime and precision."""
    runtime, precision = attempts[0].runtime, attempts[0].precision
    captured, images = networks["rapidnet_ti"]
    with tempfile.TemporaryDirectory() as folder:
        calls = {}
        for attempt in [*attempts, Attempt(PEER, runtime, precision, None)]:
            base, pixels = networks[PEER] if attempt.name == PEER else (captured, images)
            changed = attempt.network(base) if attempt.network else base
            if runtime == "onnx":
                calls[attempt.name] = open_onnx(changed, pixels, Path(folder) / str(len(calls)))
            else:
                calls[attempt.name] = open_openvino(changed, attempt, pixels)
        times = take_turns({name: Timed(call) for name, call in calls.items()}, mode)
    rows = []
    for attempt in attempts:
        against_peer, against_exported = (compare(times[attempt.name], times[name]) for name in (PEER, AS_EXPORTED))
        rows.append({
            "study": "speed_attempts", "attempt": attempt.name, "runtime": runtime, "precision": precision,
            "bound": attempt.bound, "expected": attempt.expected, "peer": PEER, "threads": 1,
            "latency_ms_p50": float(np.median(times[attempt.name])),
            "peer_latency_ms_p50": float(np.median(times[PEER])),
            "against_peer": against_peer.to_dict(), "against_exported": against_exported.to_dict(),
        })  # fmt: skip
        print(f"{runtime} {precision} {attempt.name:55s} {against_exported.value:.3f} of as exported (expected "
              f"{attempt.expected}), {against_peer.value:.3f} of {PEER}")  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default="")
    parser.add_argument("--seconds", type=float, default=10, help="of each network, at least")
    args = parser.parse_args()
    torch.set_num_threads(1)
    mode = Mode(runs=200, seconds=args.seconds, blocks=40, warm_runs=10, warm_seconds=1, headline=False)
    networks = {name: read(name, "int8") for name in ("rapidnet_ti", PEER)}
    for runtime, precision in dict.fromkeys((attempt.runtime, attempt.precision) for attempt in ATTEMPTS):
        chosen = [attempt for attempt in ATTEMPTS if (attempt.runtime, attempt.precision) == (runtime, precision)]
        for row in measure(chosen, networks, mode):
            if args.results:
                append_row(args.results, row | {"environment": describe_environment()})


if __name__ == "__main__":
    main()
