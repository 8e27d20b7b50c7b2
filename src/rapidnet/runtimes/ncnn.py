"""How are ncnn's two files run, and what is in them?"""

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Array, Network, Structure

# The four bytes before a layer's weights say how they are stored (ncnn: ModelBin).
TAGS = {0x00000000: "float32", 0x01306B47: "float16", 0x000D4B38: "int8"}
BYTES = {"float32": 4, "float16": 2, "int8": 1}
# Layers with weights -> their parameters: number of weights, number of outputs, whether there is a bias.
WEIGHTED = {"Convolution": (6, 0, 5), "ConvolutionDepthWise": (6, 0, 5), "InnerProduct": (2, 0, 1)}


@dataclass(frozen=True)
class Layer:
    """A line of the .param file."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    parameters: dict[int, int]


def open_ncnn(path: str | Path, threads: int = 0) -> Network:
    """Open a .param file with its .bin beside it, on the CPU, computing in float32 whatever the weights are stored in.

    Raises:
        UserError: no such file, a damaged one, or ncnn is not installed.
    """
    path = Path(path)
    ncnn, net, layers = load_net(path, threads)
    source = layers[0].outputs[0]
    used = {name for layer in layers for name in layer.inputs}
    targets = [name for layer in layers for name in layer.outputs if name not in used]

    def run(images: Array) -> dict[str, Array]:
        answers: dict[str, list[Array]] = {target: [] for target in targets}
        for image in images:
            extractor = net.create_extractor()
            # A Mat looks at the array's memory and does not keep it alive.
            values = np.ascontiguousarray(image, dtype=np.float32)
            extractor.input(source, ncnn.Mat(values).clone())
            for target in targets:
                failed, answer = extractor.extract(target)
                if failed:
                    raise UserError(f"ncnn could not compute {target} of {path}; export it again")
                answers[target].append(np.array(answer))
        return {target: np.stack(found) for target, found in answers.items()}

    dtype = "uint8" if source == "pixels" else "float32"
    return Network(run, 0, 0, dtype, f"ncnn {version('ncnn')}, CPU, float32")


def load_net(path: Path, threads: int) -> tuple[Any, Any, list[Layer]]:
    """(the ncnn package, the network, its layers); raises UserError as `open_ncnn` does."""
    try:
        import ncnn
    except ImportError:
        raise UserError(f"running {path} needs ncnn; install it with pip install 'rapidnet[ncnn]'") from None
    layers = read_layers(path)
    net = ncnn.Net()
    # Half precision would be used unasked wherever the CPU has it.
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    if threads:
        net.opt.num_threads = threads
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        raise UserError(f"ncnn files {path} and .bin cannot be opened; export them again")
    return ncnn, net, layers


def inspect_ncnn(path: str | Path) -> Structure:
    """Read the layers, and from the weights how each is stored.

    Raises:
        UserError: the weights do not end where the layers say.
    """
    path = Path(path)
    layers, data = read_layers(path), path.with_suffix(".bin").read_bytes()
    stored: Counter[str] = Counter()
    weight_bytes: Counter[str] = Counter()
    place = 0
    for layer in layers:
        if layer.kind == "MemoryData":
            size = 4 * int(np.prod([max(1, layer.parameters.get(key, 0)) for key in (0, 1, 2)]))
            weight_bytes["float32"] += size
            place += size
        if layer.kind not in WEIGHTED:
            continue
        count, outputs, bias = (layer.parameters.get(key, 0) for key in WEIGHTED[layer.kind])
        kind = TAGS.get(int.from_bytes(data[place : place + 4], "little"), "unknown")
        stored[kind] += 1
        # Weights are padded to whole words; a bias follows in float32.
        size = -(-count * BYTES.get(kind, 0) // 4) * 4
        weight_bytes[kind] += size
        weight_bytes["float32"] += 4 * outputs * bias
        place += 4 + size + 4 * outputs * bias
    if place != len(data):
        raise UserError(f"{path.with_suffix('.bin')} is not the weights of {path}; take both from one export")
    spatial = [layer.parameters for layer in layers if layer.kind.startswith("Convolution")]
    dilated = [[values.get(12, 1), values.get(2, 1)] for values in spatial]
    operators = Counter(layer.kind for layer in layers)
    dilations = sorted(rates for rates in dilated if set(rates) != {1})
    return Structure(dict(sorted(operators.items())), dict(stored), dilations, dict(weight_bytes))


def read_layers(path: Path) -> list[Layer]:
    """The layers of a .param file in their order; raises UserError for anything else."""
    if not path.is_file():
        raise UserError(f"ncnn file {path} does not exist; give the path of a .param file")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < 3 or lines[0].strip() != "7767517":
        raise UserError(f"ncnn file {path} cannot be opened, it is no .param file; export it again")
    layers = []
    for line in lines[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        end = int(inputs) + int(outputs)
        pairs = (word.split("=") for word in rest[end:])
        # Arrays and fractions have no part in what is asked of a layer here.
        parameters = {int(key): int(value) for key, value in pairs if value.lstrip("-").isdigit()}
        layers.append(Layer(kind, rest[: int(inputs)], rest[int(inputs) : end], parameters))
    return layers
