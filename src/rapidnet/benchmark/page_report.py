"""What does the page's own measurement say, the JSON that it saves in a browser? Layout: web/src/bench/report.ts."""

import math
from collections.abc import Mapping
from typing import Any

from rapidnet.benchmark.runner_logs import Reading, summarise

MARK, LAYOUT = "rapidnet_page_bench", 1
# Where a backend computes, as far as a browser tells; WebGPU's adapter may be a processor.
UNITS = {"wasm": "CPU"}
STEPS = ("decode", "resize", "network", "post")
NUMERICS = "golden answers checked on the device, as the page says"


def read_page(report: Mapping[str, Any]) -> list[Reading]:
    """One Reading, or none if it is no report of the page.

    Raises:
        KeyError, TypeError, ValueError: its mark, but not its layout, or times that are none.
    """
    if report.get(MARK) != LAYOUT:
        return []
    bundle, device = report["bundle"], report["device"]
    times = tuple(float(value) for block in report["blocks_ms"] for value in block)
    if not times or not all(math.isfinite(value) and value > 0 for value in times):
        raise ValueError("no times, or some that are none")
    runtime, _, version = str(report["runtime"]).partition(" ")
    figures = summarise(times) | {name: float(report[name]) for name in ("load_ms", "first_ms")}
    steps = {f"{name}_ms": float(report["steps_ms"][name]) for name in STEPS}
    facts: dict[str, object] = {
        "numerics": NUMERICS if report["verified"] is True else "not checked",
        "runtime_version": version,
        "page": str(report["page"]),
        "measured_at": str(report["time"]),
        "mode": str(report["mode"]),
        "unsteady": [str(reason) for reason in report["unsteady"]],
        "blocks": len(report["blocks_ms"]),
        "task": str(bundle["task"]),
        "artifact_sha256": str(bundle["artifact_sha256"]),
        "card_sha256": str(bundle["card_sha256"]),
        "isolated": bool(device["isolated"]),
        "processors": int(device["processors"]),
        "memory_gb": device["memory_gb"],
        "platform": str(device["platform"]),
        "steps": steps,
        "steps_picture": str(report["steps_picture"]),
    }
    return [
        Reading(
            runtime, str(bundle["model"]), str(bundle["precision"]), system=str(device["user_agent"]),
            unit_asked=str(report["backend"]), unit_used=UNITS.get(report["backend"], ""),
            threads=int(report["threads"]), runs=len(times), times=times, figures=figures, facts=facts,
        )
    ]  # fmt: skip
