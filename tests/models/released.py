"""Checkpoints in the released layout, filled by a rule instead of being stored, and what the released code gives.

golden.npz holds, for each variant, the released checkpoint's keys and shapes, and the outputs of the released network
in float64 when filled by `fill_tensor` and fed `fill_image`: every eighth logit at 224 and 160 px, the first eight of
each head, and the mean of eight channels and the standard deviation of each stage.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VARIANTS = ("ti", "s", "m", "b")
# Parameters with both heads and with one, counted in the released networks.
PARAMETERS = {
    "ti": (6_627_840, 6_114_840),
    "s": (9_213_088, 8_700_088),
    "m": (17_304_496, 16_791_496),
    "b": (30_556_496, 29_787_496),
}


def load_golden(variant: str) -> dict[str, NDArray[np.float64]]:
    with np.load(Path(__file__).parent / "golden.npz") as file:
        return {key.removeprefix(f"{variant}_"): file[key] for key in file if key.startswith(f"{variant}_")}


def released_checkpoint(variant: str) -> dict[str, Tensor]:
    """A state dict with the released keys."""
    shapes = json.loads(load_golden(variant)["keys"].tobytes())
    return {key: fill_tensor(key, tuple(shape)) for key, shape in shapes.items()}


def fill_tensor(key: str, shape: tuple[int, ...]) -> Tensor:
    """Values that follow from the key alone, in ranges at which every layer matters; float32 as released."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_mean"):
        values = random.standard_normal(shape) * 0.2
    elif "layer_scale" in key:
        values = random.uniform(0.05, 0.3, shape)
    elif key.endswith("running_var") or (key.endswith("weight") and len(shape) < 4):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 4:
        values = random.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))
    else:
        values = random.standard_normal(shape) * 0.1
    return torch.from_numpy(np.asarray(values)).float()


def fill_image(size: int) -> Tensor:
    """Two float64 images [2, 3, size, size]."""
    random = np.random.RandomState(zlib.crc32(f"input{size}".encode()))
    return torch.from_numpy(random.standard_normal((2, 3, size, size)))
