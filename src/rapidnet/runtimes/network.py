"""What is an exported network to its user, whatever runs it, and what can be said of the file it came from?"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Network:
    """A network opened in its own runtime.

    run: one input [B, 3, H, W] of `dtype` -> its outputs by name, the batch first.
    batch, size: the images and the height and width in pixels that the file asks for; 0 where it takes any.
    dtype: uint8 (RGB pixels, 0 to 255) or float32.
    runtime: name and version of what runs it, with what was asked of it (threads, number format).
    unit: what it is computed on, as far as the runtime tells.
    """

    run: Callable[[Array], dict[str, Array]]
    batch: int = 0
    size: int = 0
    dtype: str = "float32"
    runtime: str = "unknown"
    unit: str = "CPU"


@dataclass(frozen=True)
class Structure:
    """What an artifact is made of, read from the file and not from what was asked for.

    operators: how often each operator occurs, by the format's own name.
    convolutions: how many convolutions (and matrix products) compute from weights of each number format, such as
    {"int8": 60, "float32": 1}; dilations: [rows, columns] of each dilated one, sorted.
    weight_bytes: bytes of constants in each number format.
    delegated: operators that each accelerator or delegate takes, and "outside" those left to the runtime's own
    kernels; empty where the format has no such division.
    """

    operators: dict[str, int]
    convolutions: dict[str, int]
    dilations: list[list[int]]
    weight_bytes: dict[str, int]
    delegated: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
