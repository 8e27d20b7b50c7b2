"""On which inputs is an artifact held against its network, what did the network answer, and what would wrong ones?"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rapidnet.runtimes.network import Array

GOLDEN = "golden.npz"


@dataclass(frozen=True)
class Golden:
    """Inputs with the eager network's answers, computed in float64 before folding and export.

    pixels: uint8 [N, 3, S, S]; kinds: "real", "random" or "extreme" for each; targets: [N], -1 where unknown.
    reference: float64 [N, num_classes], what the artifact's output ought to be.
    wrong: what networks with one mistake answer to the same inputs, by the mistake; the checks must tell each of
    them from the real one.
    absent: mistakes that this network cannot show, with the reason.
    """

    pixels: Array
    kinds: Array
    targets: Array
    reference: Array
    wrong: dict[str, Array] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        arrays = {f"wrong.{name}": value for name, value in self.wrong.items()}
        arrays |= {f"absent.{name}": np.array(reason) for name, reason in self.absent.items()}
        arrays |= {"pixels": self.pixels, "kinds": self.kinds, "targets": self.targets, "reference": self.reference}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Golden":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        wrong = {name.removeprefix("wrong."): value for name, value in arrays.items() if name.startswith("wrong.")}
        absent = {name.removeprefix("absent."): str(arrays[name]) for name in arrays if name.startswith("absent.")}
        return cls(arrays["pixels"], arrays["kinds"], arrays["targets"], arrays["reference"], wrong, absent)


def build_inputs(photographs: Array, random: int = 8, seed: int = 0) -> tuple[Array, Array]:
    """Photographs [N, 3, S, S] uint8, then noise, then the ends of the range; with the kind of each.

    The extreme ones: black, white, each pure colour, one-pixel checks, half black and half white.
    """
    size = photographs.shape[2]
    noise = np.random.default_rng(seed).integers(0, 256, (random, 3, size, size), dtype=np.uint8)
    extreme = np.zeros((7, 3, size, size), dtype=np.uint8)
    extreme[1] = 255
    for channel in range(3):
        extreme[2 + channel, channel] = 255
    extreme[5, :, ::2, ::2] = extreme[5, :, 1::2, 1::2] = 255
    extreme[6, :, :, size // 2 :] = 255
    kinds = ["real"] * len(photographs) + ["random"] * random + ["extreme"] * len(extreme)
    return np.concatenate([photographs, noise, extreme]), np.array(kinds)
