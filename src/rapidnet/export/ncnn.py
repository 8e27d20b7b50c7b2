"""How does a captured network become ncnn's two files, its layers and its weights?"""

import re
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion, Precision

INPUTS = {False: "pixels", True: "images"}
"""Name of the input blob, by whether the artifact is raw; the runtime tells from it what to feed."""


def refuse_ncnn(spec: InputSpec, precision: Precision) -> str:
    """Why no file of this kind can be made; '' if it can. Sizes may vary; images go one at a time in any case."""
    if precision == "int8":
        return "the packages of ncnn and pnnx hold no quantisation tools; take fp16, or another format for int8"
    return ""


def convert_ncnn(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path` (the layers) and the weights beside it, as .bin; see `Converter`.

    Raises:
        UserError: the extra is not installed, or pnnx could not convert the network.
    """
    try:
        import pnnx
    except ImportError:
        raise UserError("exporting to ncnn needs more packages; pip install 'rapidnet[ncnn]'") from None
    captured = conversion.captured
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        trace(captured, folder / "network.pt")
        shapes = [f"{name}={shape}" for name, shape in describe_shapes(captured.spec).items()]
        half = f"fp16={int(conversion.precision == 'fp16')}"
        run = subprocess.run(
            [pnnx.EXEC_PATH, "network.pt", *shapes, half], cwd=folder, capture_output=True, text=True, check=False
        )
        made = folder / "network.ncnn.param"
        if run.returncode or not made.is_file():
            said = (run.stderr.strip() or run.stdout.strip() or "nothing").splitlines()[-1]
            raise UserError(f"ncnn: pnnx could not convert the network, it said: {said}; export to another format")
        path.write_text(name_blobs(made.read_text(), captured), encoding="utf-8")
        path.with_suffix(".bin").write_bytes((folder / "network.ncnn.bin").read_bytes())
    return {
        "ncnn": version("ncnn"), "pnnx": version("pnnx"),
        "weights": "stored in float16, computed in float32" if conversion.precision == "fp16" else "float32",
        "input": "a float Mat of RGB pixels, 0 to 255" if not captured.spec.raw else "a float Mat, normalised",
    }  # fmt: skip


def trace(captured: Captured, path: Path) -> None:
    """Write the module as TorchScript, which is what pnnx reads; it takes floats, as ncnn has no integer images."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.trace(captured.module, (captured.example[:1].float(),), check_trace=False).save(str(path))


def describe_shapes(spec: InputSpec) -> dict[str, str]:
    """pnnx's options for the input: the shape it was traced with, and a second one where the size varies."""
    shapes = {"inputshape": f"[1,3,{spec.shape[0]},{spec.shape[1]}]f32"}
    if spec.max_image_size > spec.image_size:
        shapes["inputshape2"] = f"[1,3,{spec.image_size},{spec.image_size}]f32"
    return shapes


def name_blobs(param: str, captured: Captured) -> str:
    """The layers with the blobs of input and outputs by the names that every other format has."""
    named = re.sub(r"\bin0\b", INPUTS[captured.spec.raw], param)
    for place, name in enumerate(captured.outputs):
        named = re.sub(rf"\bout{place}\b", name, named)
    return named
