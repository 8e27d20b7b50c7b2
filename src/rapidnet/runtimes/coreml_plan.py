"""Where would Core ML run each operation of a package, and what share of the cost does it expect there?

Core ML times no operation for anyone but Xcode. Its compute plan (macOS 14.4) says which unit it prefers for each, and
a weight that estimates the operation's part of the whole. What ran where in the end it does not say.
"""

import platform
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.coreml_tools import UNITS, load_natively
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import OperatorEstimate

# The classes of coremltools.models.compute_device -> what they stand for.
PROCESSORS = {
    "MLCPUComputeDevice": "CPU", "MLGPUComputeDevice": "GPU", "MLNeuralEngineComputeDevice": "Neural Engine"
}  # fmt: skip
UNKNOWN = "unknown"


def read_plan(path: str | Path, model: Any, unit: str) -> list[OperatorEstimate]:
    """Every operation that Core ML plans for, in order; constants are none. Nothing is run.

    Args:
        path: of the package, for errors; model: the package, opened; unit: where Core ML may compute, a key of `UNITS`.
    Raises:
        UserError: this system or coremltools has no compute plan of the package.
    """
    try:
        plans = import_module("coremltools.models.compute_plan")
        allowed = getattr(import_module("coremltools").ComputeUnit, UNITS[unit])
        plan = plans.MLComputePlan.load_from_path(model.get_compiled_model_path(), compute_units=allowed)
        (function,) = plan.model_structure.program.functions.values()
        found = []
        for operation in function.block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
            if usage is None:
                continue
            cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
            device = type(usage.preferred_compute_device).__name__
            # Names begin with the version of the operator set: ios16.conv.
            kind = operation.operator_name.rpartition(".")[2]
            share = 0.0 if cost is None else cost.weight
            found.append(OperatorEstimate(operation.outputs[0].name, kind, PROCESSORS.get(device, device), share))
    except Exception as error:  # Core ML's own errors, and those of a coremltools without the plan
        why = " ".join(str(error).split())
        raise UserError(f"Core ML has no compute plan of {path} ({why}); it needs macOS 14.4 or newer") from error
    total = sum(operation.share for operation in found) or 1
    return [OperatorEstimate(item.name, item.kind, item.unit, item.share / total) for item in found]


def describe_plan(path: str | Path, model: Any, unit: str) -> str:
    """How many operations are planned for each processor ("Neural Engine 70, CPU 3, as planned"), or unknown."""
    try:
        planned = read_plan(path, model, unit)
    except UserError:
        return UNKNOWN
    counts = Counter(operation.unit for operation in planned).most_common()
    return ", ".join(f"{name} {count}" for name, count in counts) + ", as planned" if counts else UNKNOWN


def estimate_coreml(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorEstimate]:
    """The plan for all units, as predictions use them.

    Raises:
        UserError: this is no Mac, or its system has no compute plan.
    """
    if platform.system() != "Darwin":
        raise UserError(
            f"where Core ML would run the operations of {path} is known on a Mac only (macOS 14.4 or newer); "
            f"profile it there, or this network in another format here"
        )
    return read_plan(path, load_natively(path, "all"), "all")
