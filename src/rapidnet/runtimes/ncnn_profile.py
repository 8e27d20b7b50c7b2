"""Where does an ncnn network's time go, layer by layer?

The package is built without ncnn's own benchmark, but computes no further than the blob that is asked for: asked for
one after the other, each costs the time of its layer. What asking costs beside that (a copy of the blob) is what
asking once more costs, and is taken off.
"""

from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.ncnn import Layer, load_net
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import WARM_RUNS, OperatorTime, take_medians

AS_IT_LIES = 1
"""Asks for a blob in the layout that the next layer reads."""


def profile_ncnn(path: Path, images: Array, threads: int, runs: int, arithmetic: str) -> list[OperatorTime]:
    """Every layer but the input, for the first image; an activation that was merged into a layer is in its time."""
    ncnn, net, layers = load_net(path, threads)
    pixels = np.ascontiguousarray(images[0], dtype=np.float32)
    times: dict[tuple[str, str, str], list[float]] = {}
    for run in range(WARM_RUNS + runs):
        extractor = net.create_extractor()
        extractor.input(layers[0].outputs[0], ncnn.Mat(pixels).clone())
        for layer in layers[1:]:
            milliseconds = time_layer(extractor, layer, path)
            if run >= WARM_RUNS:
                times.setdefault((layer.outputs[0], layer.kind, "CPU"), []).append(milliseconds)
    return take_medians(times)


def time_layer(extractor: Any, layer: Layer, path: Path) -> float:
    """Milliseconds; the layers before have to be computed. Raises UserError where ncnn fails."""
    marks = []
    for _ in range(2):
        marks.append(perf_counter_ns())
        # Nothing may hold the blob afterwards, or the next layer could not work in place.
        failed = extractor.extract(layer.outputs[0], AS_IT_LIES)[0]
        marks.append(perf_counter_ns())
        if failed:
            raise UserError(f"ncnn could not compute {layer.outputs[0]} of {path}; export it again")
    return (marks[1] - marks[0] - (marks[3] - marks[2])) / 1e6
