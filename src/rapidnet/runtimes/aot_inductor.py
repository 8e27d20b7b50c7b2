"""How is an AOTInductor package run, and what is in it?"""

import re
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array, Network, Structure

# In the wrapper's source: one call for each operator that is no fused kernel, the whole of a convolution's settings
# (stride, padding, dilation, output padding), and a description of each constant.
CALL = re.compile(r"CODE_CHECK\(aoti_torch_cpu_(\w+)\(")
PAIR = re.compile(r"std::array<int64_t, 2>\{(\d+)L, (\d+)L\}")
CONSTANT = re.compile(
    r"constants_info_\[\d+\]\.dtype = cached_torch_dtype_(\w+);.*?\.data_size = (\d+);.*?\.shape = \{([^}]*)\}", re.S
)
KERNEL = re.compile(r"^\s+cpp_fused\w*\(", re.M)


def open_torch(path: str | Path, threads: int = 0) -> Network:
    """Open a package for the CPU; `threads` of 0 leaves the number to torch, another sets it for the whole process.

    Opening runs the native code inside: only open packages you made or trust.

    Raises:
        UserError: no such file, or one that was compiled for another machine or torch.
    """
    path = Path(path)
    torch, package = load_package(path, threads)
    notes = package.get_metadata()
    names = notes.get("output", "output").split(",")

    def run(images: Array) -> dict[str, Array]:
        with torch.inference_mode():
            answer = package(torch.from_numpy(np.ascontiguousarray(images)))
        answers = answer if isinstance(answer, list | tuple) else [answer]
        return {name: values.numpy() for name, values in zip(names, answers, strict=True)}

    # Packages from before the note: a classifier's logits were those of normalised images.
    dtype = notes.get("input") or ("float32" if names == ["logits"] else "uint8")
    batch, size = read_shape(read_wrapper(path))
    return Network(run, batch, size, dtype, f"torch {torch.__version__} AOTInductor, CPU")


def load_package(path: Path, threads: int) -> tuple[Any, Any]:
    """(torch, the package, to be called); raises UserError as `open_torch` does."""
    if not path.is_file():
        raise UserError(f"torch package {path} does not exist; give the path of a .pt2 file")
    try:
        import torch
        from torch._inductor import aoti_load_package
    except ImportError:
        raise UserError(f"running {path} needs torch; install it with pip install rapidnet") from None
    if threads:
        torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch, aoti_load_package(str(path))
    except RuntimeError as error:
        why = str(error).strip().splitlines()[0]
        raise UserError(
            f"torch package {path} cannot be opened here ({why}); export it again on this machine"
        ) from error


def inspect_torch(path: str | Path) -> Structure:
    """What the package's own source says: its calls, its constants, its convolutions' settings.

    Element-wise operators are fused into kernels that the source does not list one by one.
    """
    source = read_wrapper(Path(path))
    operators = Counter(CALL.findall(source))
    operators["fused_kernel"] = len(KERNEL.findall(source))
    weight_bytes: Counter[str] = Counter()
    convolutions: Counter[str] = Counter()
    for dtype, size, shape in CONSTANT.findall(source):
        weight_bytes[dtype] += int(size)
        # Every weight of four dimensions but the normalisation's constants, whose spatial size and batch are one.
        sizes = [int(word) for word in shape.split(",") if word.strip()]
        convolutions[dtype] += len(sizes) == 4 and sizes[0] > 1
    dilations = []
    for line in source.splitlines():
        if "aoti_torch_cpu_convolution(" in line:
            _, _, dilation, *_ = PAIR.findall(line)
            dilations.append([int(value) for value in dilation])
    dilated = sorted(rates for rates in dilations if set(rates) != {1})
    found = {dtype: count for dtype, count in convolutions.items() if count}
    if len(found) == 1:
        # A weight that several calls share is stored once.
        found = {dtype: max(count, operators["convolution"]) for dtype, count in found.items()}
    return Structure(dict(sorted(operators.items())), found, dilated, dict(weight_bytes))


def read_wrapper(path: Path) -> str:
    """The source of the compiled network, which the package carries along; raises UserError without it."""
    try:
        with zipfile.ZipFile(path) as package:
            (name,) = (name for name in package.namelist() if name.endswith(".wrapper.cpp"))
            return package.read(name).decode()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UserError(f"torch package {path} cannot be read ({error}); export it again") from error


def read_shape(source: str) -> tuple[int, int]:
    """Batch and size that the package was compiled for; 0 where they may vary."""
    found = re.search(r"static constexpr int64_t int_array_\d+\[\] = \{(\w+), 3L, (\w+), (\w+)\};", source)
    batch, size = (found[1], found[2]) if found else ("", "")
    return tuple(int(word[:-1]) if word[:-1].isdigit() else 0 for word in (batch, size))  # type: ignore[return-value]
