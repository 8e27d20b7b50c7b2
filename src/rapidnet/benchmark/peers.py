"""What do others report of their mobile networks: accuracy, size, and latency on which phone, from which source?"""

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Peer:
    """A network as its authors (or a later paper) report it; None where the source does not say.

    top1_percent: on ImageNet-1k; params_m: millions; gmacs: 1e9 multiply-accumulates; latency_ms: on `device`.
    image_size: height and width in pixels that all of it was taken at; timm_name: '' if timm has no such network.
    """

    name: str
    timm_name: str
    top1_percent: float
    params_m: float | None
    gmacs: float | None
    image_size: int
    device: str
    latency_ms: float
    source: str


def load_peers() -> list[Peer]:
    """Every peer of the table that comes with the package."""
    text = files("rapidnet.benchmark").joinpath("peers.csv").read_text(encoding="utf-8")
    return [
        Peer(
            row["name"], row["timm_name"], float(row["top1_percent"]), parse(row["params_m"]), parse(row["gmacs"]),
            int(row["image_size"]), row["device"], float(row["latency_ms"]), row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    ]  # fmt: skip


def parse(text: str) -> float | None:
    return float(text) if text else None
