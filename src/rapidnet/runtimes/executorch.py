"""How is an ExecuTorch program run, and what is in it, inside its delegate and outside?"""

import logging
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array, Network, Structure
from rapidnet.runtimes.xnnpack_payload import Payload, read_payload

DELEGATE = "XnnpackBackend"
# ExecuTorch's names of number formats, as a program spells them, for the ones an input may have.
INPUT_TYPES = {"BYTE": "uint8", "FLOAT": "float32"}
# Methods without an input that an exported file has beside `forward`, with what stands for a missing one: the names of
# the outputs, commas between them, the batch and the size that are asked for (0 where they may vary), and the width
# where it is another.
NOTES: dict[str, Any] = {"output_name": "output", "batch": 0, "size": 0, "width": 0}


def open_executorch(path: str | Path, threads: int = 0) -> Network:
    """Open a program for the CPU.

    threads: of XNNPACK's pool, which all programs of a process share: the last one opened decides. 0 leaves it.

    Raises:
        UserError: no such file, a damaged one, not one image input, or executorch is not installed.
    """
    path = Path(path)
    notes, dtype = read_input(path)
    with import_quietly(path):
        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime, Verification
        from executorch.version import __version__
    try:
        with hold_log():
            if threads:
                portable_lib._unsafe_reset_threadpool(threads)
            # From memory: a mapped file that is written again would change under a network that is open.
            program = Runtime.get().load_program(path.read_bytes(), verification=Verification.InternalConsistency)
            method = program.load_method("forward")
            pool = portable_lib._threadpool_get_thread_count()
    except RuntimeError as error:
        raise UserError(f"ExecuTorch file {path} cannot be opened ({first_line(error)}); export it again") from error
    assert method is not None
    names = notes["output_name"].split(",")

    def run(images: Array) -> dict[str, Array]:
        shape, wanted = list(images.shape), [notes["batch"], 3, notes["size"], notes["width"] or notes["size"]]
        # The runtime itself lets through whatever needs no more memory than the largest input.
        if any(want and want != found for want, found in zip(wanted, shape, strict=True)):
            raise UserError(f"ExecuTorch file {path} refuses an input of {shape}: it takes {wanted}, 0 for any")
        # Holding the program, since its method reads the file's bytes without owning them.
        assert program is not None
        try:
            outputs = method.execute([torch.from_numpy(images)])
        except RuntimeError as error:
            raise UserError(f"ExecuTorch file {path} refuses an input of {shape}: {first_line(error)}") from error
        # The program owns the memory of its outputs, and the next call writes into it.
        return {name: output.numpy().copy() for name, output in zip(names, outputs, strict=True)}

    runtime = f"executorch {__version__}, XNNPACK, a pool of {pool} for the process"
    return Network(run, notes["batch"], notes["size"], dtype, runtime)


def inspect_executorch(path: str | Path) -> Structure:
    """What the file holds: ExecuTorch's own calls by operator, and what is inside each XNNPACK graph.

    Raises:
        UserError: no such file, a damaged one, or executorch is not installed.
    """
    path = Path(path)
    program = read_program(path)
    plan = find_plan(program, path)
    inside, outside = Payload(), Counter[str]()
    for call in (instruction.instr_args for chain in plan.chains for instruction in chain.instructions):
        kind = type(call).__name__
        if kind == "DelegateCall":
            delegate = plan.delegates[call.delegate_index]
            if delegate.id != DELEGATE:
                outside[delegate.id] += 1
                continue
            try:
                inside.add(read_payload(program.backend_delegate_data[delegate.processed.index].data))
            except ValueError as error:
                raise UserError(f"ExecuTorch file {path} holds {error}; export it again") from error
        elif kind == "KernelCall":
            operator = plan.operators[call.op_index]
            outside[f"{operator.name}.{operator.overload}".rstrip(".")] += 1
    operators = dict(sorted((inside.operators + outside).items()))
    delegated = {DELEGATE: inside.operators.total(), "outside": outside.total()}
    return Structure(
        operators, dict(inside.convolutions), sorted(inside.dilations), dict(inside.weight_bytes), delegated
    )


def read_input(path: Path) -> tuple[dict[str, Any], str]:
    """What a file says of itself (see `NOTES`) and the number format of its one image input; raises UserError."""
    program = read_program(path)
    plan = find_plan(program, path)
    tensors = [plan.values[index].val for index in plan.inputs]
    if len(tensors) != 1 or len(tensors[0].sizes) != 4 or tensors[0].scalar_type.name not in INPUT_TYPES:
        found = ", ".join(f"{tensor.scalar_type.name} {list(tensor.sizes)}" for tensor in tensors)
        raise UserError(f"ExecuTorch file {path} takes {found}; one FLOAT or BYTE input [B, 3, H, W] is needed")
    (tensor,) = tensors
    static = tensor.shape_dynamism.name == "STATIC"
    # Without notes, from another exporter: a shape that may vary does so in ways that the file does not tell.
    notes = NOTES | ({"batch": tensor.sizes[0], "size": tensor.sizes[2]} if static else {})
    for method in program.execution_plan:
        if method.name in NOTES:
            value = method.values[method.outputs[0]].val
            notes[method.name] = getattr(value, "string_val", getattr(value, "int_val", None))
    return notes, INPUT_TYPES[tensor.scalar_type.name]


def find_plan(program: Any, path: Path) -> Any:
    for plan in program.execution_plan:
        if plan.name == "forward":
            return plan
    raise UserError(f"ExecuTorch file {path} has no method forward; export it again")


def read_program(path: Path) -> Any:
    """A file as ExecuTorch's own schema spells it, with the delegates' payloads inside; raises UserError."""
    if not path.is_file():
        raise UserError(f"ExecuTorch file {path} does not exist; give the path of a .pte file")
    with import_quietly(path):
        from executorch.exir._serialize._program import deserialize_pte_binary
    try:
        return deserialize_pte_binary(path.read_bytes()).program
    except Exception as error:  # a damaged file fails in many ways, none of them declared
        raise UserError(f"ExecuTorch file {path} cannot be read ({first_line(error)}); export it again") from error


@contextmanager
def import_quietly(path: Path) -> Iterator[None]:
    """Importing ExecuTorch says that its API is experimental, and torchao that an enum needs no registration."""
    noisy = logging.getLogger("torch.utils._pytree")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImportError:
        raise UserError(f"{path} needs ExecuTorch; install it with pip install 'rapidnet[executorch]'") from None
    finally:
        noisy.setLevel(level)


@contextmanager
def hold_log() -> Iterator[None]:
    """The runtime writes how it looked for the processor's name straight to the process's standard error."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
