"""Which range of values does each tensor of an ONNX network take, for eight bits to cover?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rapidnet.runtimes.network import Array

SAMPLES = 1024
"""Values kept of each tensor and image, evenly spaced; enough to choose a range by, few enough to keep them all."""
SHRINK = np.linspace(1.0, 0.5, 26)
"""Shares of the observed range that are tried on each side."""


def observe(model: Any, names: Sequence[str], portions: Sequence[Array]) -> dict[str, Array]:
    """Values of the tensors `names` over N images, given as portions [B, 3, S, S] that the network takes.

    [N * samples] each, both extremes of every image among them.
    """
    import onnx
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, ["CPUExecutionProvider"])
    pixels = session.get_inputs()[0].name
    values: dict[str, list[Array]] = {name: [] for name in names}
    for portion in portions:
        for name, tensor in zip(names, session.run(None, {pixels: portion}), strict=True):
            for flat in tensor.reshape(len(portion), -1):
                # A step that shares no factor with the layout visits every channel and every column.
                step = max(1, flat.size // SAMPLES) | 1
                values[name] += [flat[::step], np.array([flat.min(), flat.max()])]
    return {name: np.concatenate(parts) for name, parts in values.items()}


def choose_range(values: Array, floor: float = -np.inf) -> tuple[float, float]:
    """(low, high) within the observed range, zero in it, that rounding and clipping to 256 steps hurt least.

    floor: what lies below does not count, since whatever reads the tensor treats it alike.
    """
    values = np.maximum(values.astype(np.float64), floor)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == high:
        return 0.0, 1.0
    highs = [(error(values, low, high * share), high * share) for share in SHRINK]
    high = min(highs)[1]
    if low > floor:
        lows = [(error(values, low * share, high), low * share) for share in SHRINK]
        low = min(lows)[1]
    return low, high


def error(values: Array, low: float, high: float) -> float:
    """Mean squared error of `values` in 256 steps from low to high."""
    step = (high - low) / 255 or 1.0
    rounded = np.clip(np.rint((values - low) / step), 0, 255) * step + low
    return float(np.square(values - rounded).mean())


def to_uint8(low: float, high: float) -> tuple[np.float32, int]:
    """(scale, zero point) of uint8 that covers low to high, zero exactly among its steps."""
    scale = np.float32((high - low) / 255)
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))
