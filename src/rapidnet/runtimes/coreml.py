"""How is a Core ML package run, by Core ML on a Mac and elsewhere op by op, and what is in it?"""

import io
import logging
import platform
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.mil_interpreter import interpret
from rapidnet.runtimes.mil_program import Program, read_program
from rapidnet.runtimes.network import Array, Network, Structure


def import_coremltools(path: str | Path) -> Any:
    """coremltools, without what it says of missing parts on systems that have no Core ML; raises UserError."""
    before, silence = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(silence), redirect_stderr(silence):
            return import_module("coremltools")
    except ImportError:
        raise UserError(f"reading {path} needs coremltools; install it with pip install 'rapidnet[coreml]'") from None
    finally:
        logging.disable(before)


# What a user may ask for -> its name in coremltools.ComputeUnit.
UNITS = {"all": "ALL", "cpu": "CPU_ONLY", "cpu_gpu": "CPU_AND_GPU", "cpu_ne": "CPU_AND_NE"}
# The classes of coremltools.models.compute_device -> what they stand for.
PROCESSORS = {
    "MLCPUComputeDevice": "CPU", "MLGPUComputeDevice": "GPU", "MLNeuralEngineComputeDevice": "Neural Engine"
}  # fmt: skip
UNKNOWN = "unknown"


def open_coreml(path: str | Path, threads: int = 0, unit: str = "") -> Network:
    """Open a package; `threads` has no effect, Core ML and numpy choose by themselves.

    unit: where Core ML may compute, a key of `UNITS`; empty leaves it all.

    Raises:
        UserError: no such package, a damaged one, coremltools is not installed, or a unit is asked for elsewhere than
            on a Mac.
    """
    program = read_program(path)
    batch, _, size, _ = program.shape
    dtype = "uint8" if program.image else "float32"
    name = f"coremltools {version('coremltools')}"
    if platform.system() == "Darwin":
        model = load_natively(path, unit or "all")
        run_model = run_natively(model, program)
        return Network(run_model, batch, size, dtype, f"{name}, Core ML on macOS", describe_plan(model, unit or "all"))
    if unit:
        raise UserError(f"{path} has no compute unit here: Core ML is on macOS; leave the compute unit out")

    def run(images: Array) -> dict[str, Array]:
        return interpret(program, images)

    return Network(run, batch, size, dtype, f"{name}, program interpreted op by op (not Core ML itself)")


def load_natively(path: str | Path, unit: str) -> Any:
    """The package in Core ML, on the compute units asked for; not run anywhere but on a Mac."""
    coremltools = import_coremltools(path)
    return coremltools.models.MLModel(str(path), compute_units=getattr(coremltools.ComputeUnit, UNITS[unit]))


def describe_plan(model: Any, unit: str) -> str:
    """How many operations Core ML plans for each processor ("Neural Engine 70, CPU 3, as planned"), or unknown.

    The plan (MLComputePlan, macOS 14.4) is all that Core ML tells: what ran where in the end it does not say.
    """
    try:
        plans = import_module("coremltools.models.compute_plan")
        units = getattr(import_module("coremltools").ComputeUnit, UNITS[unit])
        plan = plans.MLComputePlan.load_from_path(model.get_compiled_model_path(), compute_units=units)
        (function,) = plan.model_structure.program.functions.values()
        used = [plan.get_compute_device_usage_for_mlprogram_operation(item) for item in function.block.operations]
        names = [type(item.preferred_compute_device).__name__ for item in used if item is not None]
    except (ImportError, AttributeError, RuntimeError, TypeError, ValueError):
        # An older macOS or coremltools has no plan.
        return UNKNOWN
    counts = Counter(PROCESSORS.get(name, name) for name in names).most_common()
    return ", ".join(f"{name} {count}" for name, count in counts) + ", as planned" if counts else UNKNOWN


def run_natively(model: Any, program: Program) -> Any:
    """What runs one input by Core ML."""

    def run(images: Array) -> dict[str, Array]:
        from PIL import Image

        given = Image.fromarray(images[0].transpose(1, 2, 0)) if program.image else images
        answers = model.predict({program.source: given})
        return {name: np.asarray(answers[name]) for name in program.targets}

    return run


def inspect_coreml(path: str | Path) -> Structure:
    """Read the package's operations, and for each weight how it is stored, through a dequantisation if there is one."""
    program = read_program(path)
    made_by = {operation.output: operation for operation in program.operations}
    convolutions: Counter[str] = Counter()
    weight_bytes: Counter[str] = Counter()
    dilations = []
    for value in program.constants.values():
        if isinstance(value, np.ndarray):
            weight_bytes[value.dtype.name] += value.nbytes
    for operation in program.operations:
        if operation.kind != "conv":
            continue
        name = operation.inputs["weight"][0]
        if name in made_by:
            name = made_by[name].inputs["quantized_data"][0]
        convolutions[program.constants[name].dtype.name] += 1
        rates = [int(rate) for rate in program.constants[operation.inputs["dilations"][0]]]
        if set(rates) != {1}:
            dilations.append(rates)
    operators = Counter(operation.kind for operation in program.operations)
    return Structure(dict(sorted(operators.items())), dict(convolutions), sorted(dilations), dict(weight_bytes))
