"""Which peers of the table can be measured here, and why not the others?"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
from rich.console import Console

from rapidnet.benchmark.contestants import Contestant, build_contestants, explain_refusal, list_pairs
from rapidnet.benchmark.peers import load_peers
from rapidnet.config.bench import BenchConfig
from rapidnet.environment import describe_environment


def build_peers(
    config: BenchConfig, already: Collection[str], folder: Path, console: Console
) -> tuple[list[Contestant], list[dict[str, Any]]]:
    """Every peer that timm knows but those `already` there, at its own size; and a row for each that failed.

    A table of two dozen networks is worth having without one of them, so whatever keeps a peer from being exported,
    or its artifact from passing its checks, is said and the peer left out.
    """
    names = [peer.timm_name for peer in load_peers() if timm.is_model(peer.timm_name) and peer.timm_name not in already]
    pairs = [pair for pair in list_pairs(config) if not explain_refusal(config.points[0], *pair)]
    found: list[Contestant] = []
    left_out = []
    for name in names:
        for runtime, precision in pairs:
            alone = replace(config, what=[name], against="", runtime=runtime, precision=precision)
            try:
                found += build_contestants(alone, [name], folder, console)
            except Exception as error:  # converters raise all kinds
                reason = " ".join(str(error).split()) or type(error).__name__
                console.print(f"left out {name} in {runtime} {precision}: {reason}", highlight=False, markup=False)
                row = {"study": "bench_left_out", "model": name, "runtime": runtime, "precision": precision}
                left_out.append(row | {"reason": reason, "environment": describe_environment()})
    return found, left_out
