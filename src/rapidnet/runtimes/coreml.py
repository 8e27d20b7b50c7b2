"""How is a Core ML package run, by Core ML on a Mac and elsewhere op by op, and what is in it?"""

import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.coreml_plan import describe_plan
from rapidnet.runtimes.coreml_tools import load_natively
from rapidnet.runtimes.mil_interpreter import interpret
from rapidnet.runtimes.mil_program import Program, read_program
from rapidnet.runtimes.network import Array, Network, Structure


def open_coreml(path: str | Path, threads: int = 0, unit: str = "") -> Network:
    """Open a package; `threads` has no effect, Core ML and numpy choose by themselves.

    unit: where Core ML may compute, a key of `coreml_tools.UNITS`; empty leaves it all.

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
        plan = describe_plan(path, model, unit or "all")
        return Network(run_natively(model, program), batch, size, dtype, f"{name}, Core ML on macOS", plan)
    if unit:
        raise UserError(f"{path} has no compute unit here: Core ML is on macOS; leave the compute unit out")

    def run(images: Array) -> dict[str, Array]:
        return interpret(program, images)

    return Network(run, batch, size, dtype, f"{name}, program interpreted op by op (not Core ML itself)")


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
