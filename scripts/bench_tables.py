"""What do the docs say of scaling, peers, attempts at speed and other activations? What was measured of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.benchmark.latest import keep_latest
from rapidnet.benchmark.peers import load_peers
from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results"
PICTURE = RESULTS.parent / "docs" / "images" / "scaling.png"
FAMILY = "rapidnet_ti rapidnet_s rapidnet_m rapidnet_b"


def read_results(name: str, study: str) -> list[dict[str, Any]]:
    """All rows of a study; none without the file."""
    path = RESULTS / name
    return [row for row in (read_rows(path) if path.exists() else []) if row["study"] == study]


def read_latest(name: str, study: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """The row that counts of each combination of `keys`, in the order of their values."""

    def identify(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(str(row[key]) if isinstance(row[key], dict) else row[key] for key in keys)

    return sorted(keep_latest(read_results(name, study), identify), key=identify)


def bench_scaling() -> str:
    """A line for each network, size and batch, a column for each number of threads; training likewise; the picture."""
    keys = ("runtime", "precision", "name", "image_size", "batch", "threads")
    calls = read_latest("bench_scaling.jsonl", "bench", keys)
    steps = read_latest("bench_scaling.jsonl", "training_cost", ("model", "image_size", "precision"))
    parts = []
    if calls:
        what = {"network": "name", "runtime": "runtime", "precision": "precision", "px": "image_size", "batch": "batch"}
        parts.append(pivot(calls, what, "threads", "threads: {}, ms (images/s)", describe_call))
    if steps:
        steps.sort(key=lambda row: (FAMILY.find(row["model"]), row["image_size"]))
        what = {"training": "model", "px": "image_size", "batch": "batch", "threads": "threads"}
        parts.append(pivot(steps, what, "precision", "{}, images/s (peak GB)", describe_training))
    if parts and PICTURE.exists():
        parts.append(
            f"![Latency, images per second and training against batch, size and threads](images/{PICTURE.name})"
        )
    return "\n\n".join(parts) or "Not measured yet."


def pivot(
    rows: list[dict[str, Any]], what: dict[str, str], across: str, heading: str, cell: Callable[[dict[str, Any]], str]
) -> str:
    """A table with the columns `what` (heading -> key) and one for each value of the key `across`."""
    values = sorted({row[across] for row in rows}, key=lambda value: (value != "fp32", value))
    lines: dict[tuple[Any, ...], dict[Any, str]] = {}
    for row in rows:
        lines.setdefault(tuple(row[key] for key in what.values()), {})[row[across]] = cell(row)
    return table(
        [*what, *(heading.format(value) for value in values)],
        [[*map(str, line), *(cells.get(value, "") for value in values)] for line, cells in lines.items()],
    )


def describe_call(row: dict[str, Any]) -> str:
    return f"{row['latency_ms_p50']:.2f} ({row['images_per_s']:.1f})" if "latency_ms_p50" in row else "unstable"


def describe_training(row: dict[str, Any]) -> str:
    return f"{row['images_per_s']:.1f} ({row['peak_mb'] / 1e3:.2f})" if "images_per_s" in row else "unstable"


def bench_peers() -> str:
    """Networks by latency, with what they are said to be worth; then those that could not be measured."""
    published = {peer.timm_name: peer for peer in load_peers() if peer.timm_name}
    keys = ("runtime", "precision", "model", "threads", "image_size")
    rows = read_latest("bench_peers.jsonl", "bench", keys)
    left_out = read_latest("bench_peers.jsonl", "bench_left_out", keys[:3])
    ratios = {
        (row["runtime"], row["precision"], row["against_model"]): show_ratio(row)
        for row in read_latest("bench_peers.jsonl", "bench_ratio", ("runtime", "precision", "model", "against_model"))
    }
    if not rows:
        return "Not measured yet."
    rows.sort(key=lambda row: (row["runtime"], row["precision"], row.get("latency_ms_p50", float("inf"))))
    shown = table(
        ["network", "in", "px", "top-1 %, published", "median, ms", "p90", "RapidNet-Ti takes as long, times",
         "params, M", "GMACs", "of GEMM, %"],
        [
            [row["model"], f"{row['runtime']} {row['precision']}", str(row["image_size"]),
             f"{published[row['model']].top1_percent:.1f}" if row["model"] in published else "",
             *(f"{row[key]:.2f}" if key in row else "unstable" for key in ("latency_ms_p50", "latency_ms_p90")),
             ratios.get((row["runtime"], row["precision"], row["model"]), ""),
             f"{row['params_m']:.2f}", f"{row['gmacs']:.3f}",
             f"{row['gemm_share'] * 100:.0f}" if "gemm_share" in row else "unstable"]
            for row in rows
        ],
    )  # fmt: skip
    missing = [f"- {row['model']} in {row['runtime']} {row['precision']}: {row['reason']}" for row in left_out]
    return "\n".join([shown, *(["", "Left out:", "", *missing] if missing else [])])


def show_ratio(row: dict[str, Any], digits: int = 2) -> str:
    if "ratio" not in row:
        return "unstable"
    value, low, high = (f"{row[key]:.{digits}f}" for key in ("ratio", "low", "high"))
    return f"{value} ({low} to {high})"


def speed_attempts() -> str:
    """What was tried, by runtime and precision, and what it brought."""
    rows = read_latest("speed_attempts.jsonl", "speed_attempts", ("runtime", "precision", "bound", "attempt"))
    if not rows:
        return "Not measured yet."
    order = ("fp32", "bf16", "int8")
    rows.sort(
        key=lambda row: (row["runtime"], order.index(row["precision"]), row["bound"], row["expected"] is not None)
    )
    return table(
        ["tried", "in", "expected, of as exported", "measured, of as exported (95% interval)", "of MobileNetV2 x1.4"],
        [
            [row["attempt"] + (": not a GELU" if row["bound"] else ""), f"{row['runtime']} {row['precision']}",
             f"{row['expected']:.3f}" if row["expected"] else "", show_ratio(row["against_exported"], 3),
             show_ratio(row["against_peer"], 3)]
            for row in rows
        ],
    )  # fmt: skip


def activations() -> str:
    """A line for each activation: accuracy of the trained network, then for each runtime accuracy and ratio in int8."""
    exports = read_latest("activations.jsonl", "export", ("format", "precision", "model_options"))
    ratios = read_latest("activations.jsonl", "bench_ratio", ("runtime", "precision", "name"))
    if not exports or not ratios:
        return "Not measured yet."
    runtimes = list(dict.fromkeys(row["format"] for row in exports))
    lines = []
    for name in dict.fromkeys(row["name"] for row in ratios):
        mine = {row["format"]: row for row in exports if row["model_options"].get("act_layer", "gelu") == name}
        if set(mine) != set(runtimes):
            continue
        cells = [f"{mine[runtimes[0]]['network']:.2f}"]
        for runtime in runtimes:
            cells.append(describe_export(mine[runtime]))
            cells += [show_ratio(row, 3) for row in ratios if (row["runtime"], row["name"]) == (runtime, name)]
        lines.append([name.replace("_", "-"), *cells])
    lines.sort(key=lambda line: ("gelu", "hard-swish", "relu").index(line[0]))
    headings = [
        heading for runtime in runtimes
        for heading in (f"{runtime} int8, top-1 % (95% interval)", f"{runtime} int8, times MobileNetV2 x1.4")
    ]  # fmt: skip
    return table(["activation", "float32, top-1 %", *headings], lines)


def describe_export(row: dict[str, Any]) -> str:
    """An artifact's accuracy, and which of its checks it fails: such a one is refused, whatever its accuracy."""
    low, high = row["artifact_interval"]
    failures = f"; **refused**: {'; '.join(row['failures'])}" if row["verdict"] == "failed" else ""
    return f"{row['artifact']:.2f} ({low:.2f} to {high:.2f}){failures}"
