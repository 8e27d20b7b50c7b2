"""Where would Core ML run each operation of a package, and what share of the cost does it expect there?

Core ML times no operation for anyone but Xcode. Its compute plan (macOS 14.4) says which unit it prefers for each, and
a weight that estimates the operation's part of the whole.
"""

import platform
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.coreml import import_coremltools
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import OperatorEstimate

UNITS = {"MLNeuralEngineComputeDevice": "ANE", "MLGPUComputeDevice": "GPU", "MLCPUComputeDevice": "CPU"}


def estimate_coreml(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorEstimate]:
    """Every operation that Core ML plans for; constants are none. Nothing is run.

    Raises:
        UserError: this is no Mac, or its system has no compute plan.
    """
    if platform.system() != "Darwin":
        raise UserError(
            f"where Core ML would run the operations of {path} is known on a Mac only (macOS 14.4 or newer); "
            f"profile it there, or this network in another format here"
        )
    plan = load_plan(path)
    found = []
    for operation in plan.model_structure.program.functions["main"].block.operations:
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        if usage is None or cost is None:
            continue
        device = type(usage.preferred_compute_device).__name__
        # Names begin with the version of the operator set: ios16.conv.
        kind = operation.operator_name.rpartition(".")[2]
        found.append(OperatorEstimate(operation.outputs[0].name, kind, UNITS.get(device, device), cost.weight))
    total = sum(operation.share for operation in found) or 1
    return [OperatorEstimate(item.name, item.kind, item.unit, item.share / total) for item in found]


def load_plan(path: Path) -> Any:
    """The plan for all units, as predictions use them."""
    coremltools = import_coremltools(path)
    try:
        compiled = coremltools.models.MLModel(str(path)).get_compiled_model_path()
        return coremltools.models.compute_plan.MLComputePlan.load_from_path(compiled, coremltools.ComputeUnit.ALL)
    except Exception as error:  # Core ML's own errors, and those of a coremltools without the plan
        why = " ".join(str(error).split())
        raise UserError(f"Core ML has no compute plan of {path} ({why}); it needs macOS 14.4 or newer") from error
