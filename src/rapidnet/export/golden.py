"""On which inputs is an artifact held against its network, what did the network answer, and what would wrong ones?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rapidnet.runtimes.network import Array

GOLDEN = "golden.npz"


@dataclass(frozen=True)
class Golden:
    """Inputs with the eager network's answers, computed in float64 before folding and export.

    pixels: uint8 [N, 3, H, W]; kinds: "real", "random" or "extreme" for each; targets: [N], -1 where unknown.
    reference: float64 [N, num_classes], what the artifact's output ought to be. Of answers that are boxes, scores or
    classes of pixels, a row holds a fixed draw of each output's values, one output after the other.
    wrong: what networks with one mistake answer to the same inputs, by the mistake; the checks must tell each of
    them from the real one.
    absent: mistakes that this network cannot show, with the reason.
    places: for such rows, which values of an output's flattened answer to an image they hold, by the output's name.
    """

    pixels: Array
    kinds: Array
    targets: Array
    reference: Array
    wrong: dict[str, Array] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    places: dict[str, Array] = field(default_factory=dict)

    def gather(self, outputs: Mapping[str, Array], names: Sequence[str]) -> Array:
        """The rows, float64, of outputs [B, ...] by their names; the first alone where a row is a whole answer."""
        if not self.places:
            return outputs[names[0]].astype(np.float64)
        rows = [outputs[name].reshape(len(outputs[name]), -1)[:, chosen] for name, chosen in self.places.items()]
        return np.concatenate(rows, axis=1).astype(np.float64)

    def split(self, rows: Array) -> dict[str, Array]:
        """Rows by output, in words that begin the name of a check; "" for the only one."""
        if not self.places:
            return {"": rows}
        ends = np.cumsum([len(chosen) for chosen in self.places.values()])
        parts = np.split(rows, ends[:-1], axis=1)
        return {f"{name}, ": part for name, part in zip(self.places, parts, strict=True)}

    def save(self, path: Path) -> None:
        arrays = {f"wrong.{name}": value for name, value in self.wrong.items()}
        arrays |= {f"absent.{name}": np.array(reason) for name, reason in self.absent.items()}
        arrays |= {f"places.{name}": value for name, value in self.places.items()}
        arrays |= {"pixels": self.pixels, "kinds": self.kinds, "targets": self.targets, "reference": self.reference}
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Golden":
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        wrong = {name.removeprefix("wrong."): value for name, value in arrays.items() if name.startswith("wrong.")}
        absent = {name.removeprefix("absent."): str(arrays[name]) for name in arrays if name.startswith("absent.")}
        places = {name.removeprefix("places."): value for name, value in arrays.items() if name.startswith("places.")}
        return cls(arrays["pixels"], arrays["kinds"], arrays["targets"], arrays["reference"], wrong, absent, places)


def build_inputs(photographs: Array, random: int = 8, seed: int = 0) -> tuple[Array, Array]:
    """Photographs [N, 3, H, W] uint8, then noise, then the ends of the range; with the kind of each.

    The extreme ones: black, white, each pure colour, one-pixel checks, half black and half white.
    """
    height, width = photographs.shape[2:]
    noise = np.random.default_rng(seed).integers(0, 256, (random, 3, height, width), dtype=np.uint8)
    extreme = np.zeros((7, 3, height, width), dtype=np.uint8)
    extreme[1] = 255
    for channel in range(3):
        extreme[2 + channel, channel] = 255
    extreme[5, :, ::2, ::2] = extreme[5, :, 1::2, 1::2] = 255
    extreme[6, :, :, width // 2 :] = 255
    kinds = ["real"] * len(photographs) + ["random"] * random + ["extreme"] * len(extreme)
    return np.concatenate([photographs, noise, extreme]), np.array(kinds)
