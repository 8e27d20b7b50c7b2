"""What does a Core ML program answer? Each operation by numpy, rounded to the number format the program gives it.

This checks what was converted, not how Core ML on a device computes it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf

from rapidnet.errors import UserError
from rapidnet.runtimes.mil_program import Program
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.resample import resize_bilinear

Values = dict[str, Any]
LIST = "values"
"""The one parameter that is several values: what is joined."""


def interpret(program: Program, images: Array) -> dict[str, Array]:
    """The program's answers, by name, to one input of its shape; raises UserError for an operation not known here."""
    values: Values = {**program.constants, program.source: images.astype(np.float32)}
    for operation in program.operations:
        if operation.kind not in OPERATIONS:
            raise UserError(
                f"the Core ML program holds '{operation.kind}', which cannot be interpreted here; use a Mac"
            )
        given = {
            key: [values[name] for name in names] if key == LIST else values[names[0]]
            for key, names in operation.inputs.items()
            if names
        }
        answer = OPERATIONS[operation.kind](given)
        values[operation.output] = np.asarray(answer, dtype=operation.dtype)
    return {name: np.asarray(values[name]) for name in program.targets}


def convolve(given: Values) -> Array:
    """2-D convolution of [B, C, H, W] with [O, C / groups, h, w], zero-padded on each side as `pad` says."""
    x, weight = given["x"].astype(np.float32), given["weight"].astype(np.float32)
    (sy, sx), (dy, dx), groups = given["strides"], given["dilations"], int(given["groups"])
    top, bottom, left, right = find_padding(given)
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out, _, high, wide = weight.shape
    rows = (x.shape[2] - dy * (high - 1) - 1) // sy + 1
    columns = (x.shape[3] - dx * (wide - 1) - 1) // sx + 1
    windows = [
        x[:, :, i * dy : i * dy + sy * (rows - 1) + 1 : sy, j * dx : j * dx + sx * (columns - 1) + 1 : sx]
        for i in range(high)
        for j in range(wide)
    ]
    if groups == x.shape[1] == out:
        taps = weight.reshape(out, -1)
        made = sum(window * taps[None, :, k, None, None] for k, window in enumerate(windows))
    else:
        made = np.concatenate([
            multiply(np.stack([window[:, group] for window in windows], 2), part)
            for group, part in zip(split(x.shape[1], groups), np.split(weight, groups), strict=True)
        ], axis=1)  # fmt: skip
    bias = given.get("bias")
    return made if bias is None else made + bias.astype(np.float32)[None, :, None, None]


def multiply(patches: Array, weight: Array) -> Array:
    """Patches [B, C, taps, H, W] times weights [O, C, h, w] -> [B, O, H, W]."""
    batch, _, _, rows, columns = patches.shape
    flat = patches.reshape(batch, -1, rows * columns)
    product: Array = (weight.reshape(len(weight), -1) @ flat).reshape(batch, len(weight), rows, columns)
    return product


def split(channels: int, groups: int) -> list[slice]:
    size = channels // groups
    return [slice(start, start + size) for start in range(0, channels, size)]


def find_padding(given: Values) -> list[int]:
    """top, bottom, left, right."""
    if given["pad_type"] == "valid":
        return [0, 0, 0, 0]
    if given["pad_type"] != "custom":
        raise UserError(f"the Core ML program pads a convolution by '{given['pad_type']}', which is not known here")
    return [int(value) for value in given["pad"]]


def gelu(given: Values) -> Array:
    """Core ML's three forms of it."""
    x = given["x"].astype(np.float64)
    mode = given.get("mode", "EXACT")
    if mode == "TANH_APPROXIMATION":
        made = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    elif mode == "SIGMOID_APPROXIMATION":
        made = x / (1 + np.exp(-1.702 * x))
    else:
        made = 0.5 * x * (1 + erf(x / np.sqrt(2)))
    return np.asarray(made)


def softmax(given: Values) -> Array:
    x = given["x"].astype(np.float32)
    powers = np.exp(x - x.max(axis=int(given["axis"]), keepdims=True))
    return np.asarray(powers / powers.sum(axis=int(given["axis"]), keepdims=True))


def dequantize(given: Values) -> Array:
    """(data - zero_point) * scale, along `axis`."""
    data = given["quantized_data"]
    shape = [-1 if place == int(given["axis"]) % data.ndim else 1 for place in range(data.ndim)]
    scale, zero = (np.reshape(given[key], shape if np.ndim(given[key]) else []) for key in ("scale", "zero_point"))
    return np.asarray((data.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32))


def mean(given: Values) -> Array:
    axes = tuple(int(axis) for axis in given["axes"])
    return np.asarray(given["x"].astype(np.float32).mean(axis=axes, keepdims=bool(given["keep_dims"])))


def repeat(given: Values) -> Array:
    """[B, C, H, W] with each pixel repeated in rows and columns, a whole number of times."""
    down, across = (int(given[f"scale_factor_{side}"]) for side in ("height", "width"))
    return np.asarray(given["x"].repeat(down, axis=2).repeat(across, axis=3))


def enlarge(given: Values) -> Array:
    """[B, C, H, W] bilinearly enlarged between the pixels' centres; raises UserError for corners as anchors."""
    if given["align_corners"] or not given.get("half_pixel_centers", True):
        raise UserError("the Core ML program enlarges by another rule than between pixel centres; use a Mac")
    x = given["x"]
    height, width = (
        round(float(given[f"scale_factor_{side}"]) * length)
        for side, length in zip(("height", "width"), x.shape[2:], strict=True)
    )
    return np.stack([resize_bilinear(maps, height, width) for maps in x])


def slice_range(given: Values) -> Array:
    """x[begin:end:stride] of every dimension; where a mask says so, from its start, to its end, or one place of it."""
    x = given["x"]
    none = np.zeros(x.ndim, dtype=bool)
    masks = [given.get(f"{name}_mask", none) for name in ("begin", "end", "squeeze")]
    steps = given.get("stride", np.ones(x.ndim, dtype=int))
    places: list[Any] = []
    for begin, end, step, from_start, to_end, single in zip(given["begin"], given["end"], steps, *masks, strict=True):
        if single:
            places.append(int(begin))
        else:
            places.append(slice(None if from_start else int(begin), None if to_end else int(end), int(step)))
    return np.asarray(x[tuple(places)])


def turn(given: Values, name: str) -> Array:
    """A factor of a product of matrices, transposed if the operator says so."""
    return given[name].swapaxes(-1, -2) if given.get(f"transpose_{name}") else given[name]


def pool_largest(given: Values) -> Array:
    """The largest of each window of [B, C, H, W], without padding."""
    find_padding(given)
    if given["pad_type"] == "custom" and np.any(given["pad"]):
        raise UserError("the Core ML program pads before it pools, which is not known here; use a Mac")
    (high, wide), (down, across) = (tuple(int(size) for size in given[key]) for key in ("kernel_sizes", "strides"))
    windows = np.lib.stride_tricks.sliding_window_view(given["x"], (high, wide), axis=(2, 3))
    return np.asarray(windows[:, :, ::down, ::across].max(axis=(4, 5)))


OPERATIONS: dict[str, Callable[[Values], Array]] = {
    "add": lambda given: given["x"] + given["y"],
    "sub": lambda given: given["x"] - given["y"],
    "mul": lambda given: given["x"] * given["y"],
    "cast": lambda given: given["x"],
    "clip": lambda given: np.clip(given["x"], given["alpha"], given["beta"]),
    "concat": lambda given: np.concatenate(given[LIST], axis=int(given["axis"])),
    "constexpr_affine_dequantize": dequantize,
    "conv": convolve,
    "gelu": gelu,
    "matmul": lambda given: turn(given, "x") @ turn(given, "y"),
    "max_pool": pool_largest,
    "maximum": lambda given: np.maximum(given["x"], given["y"]),
    "minimum": lambda given: np.minimum(given["x"], given["y"]),
    "reduce_mean": mean,
    "relu": lambda given: np.maximum(given["x"], 0),
    "reshape": lambda given: given["x"].reshape([int(size) for size in given["shape"]]),
    "sigmoid": lambda given: 1 / (1 + np.exp(-given["x"].astype(np.float32))),
    "silu": lambda given: given["x"] / (1 + np.exp(-given["x"].astype(np.float32))),
    "slice_by_index": slice_range,
    "softmax": softmax,
    "sqrt": lambda given: np.sqrt(given["x"]),
    "squeeze": lambda given: given["x"].squeeze(tuple(int(axis) for axis in given["axes"])),
    "transpose": lambda given: given["x"].transpose([int(axis) for axis in given["perm"]]),
    "upsample_bilinear": enlarge,
    "upsample_nearest_neighbor": repeat,
}
