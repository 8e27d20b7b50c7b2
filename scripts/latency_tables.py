"""What do the docs say of the latency of RapidNet, of all sizes, against MobileNetV2 x1.4, and of where it goes?"""

from typing import Any

from bench_tables import FAMILY, read_results, show_ratio
from markdown_table import table

from rapidnet.benchmark.latest import keep_latest

Row = dict[str, Any]
TI, PEER = "rapidnet_ti", "mobilenetv2_140"
LARGER = [name for name in FAMILY.split() if name != TI]
"""The rest of the family has a table of its own."""
# Key of a row -> digits, factor. Only a steady measurement has those in LATENCIES.
FIGURES = {
    "latency_ms_p90": (2, 1), "latency_ms_p50": (2, 1), "latency_ms_p99": (2, 1), "spread": (1, 100),
    "drift": (1, 100), "load_ms": (0, 1), "first_ms": (1, 1), "peak_mb": (0, 1), "file_mb": (1, 1),
    "params_m": (2, 1), "gmacs": (3, 1), "gflops": (0, 1), "gemm_share": (0, 100),
}  # fmt: skip
LATENCIES = ("latency_ms_p90", "latency_ms_p50", "latency_ms_p99", "gflops", "gemm_share")


def show(row: Row, key: str) -> str:
    """A figure of a row; of an eager network, which has no file, nothing."""
    digits, factor = FIGURES[key]
    if key in row:
        return f"{row[key] * factor:.{digits}f}"
    return "unstable" if key in LATENCIES else ""


def bench() -> str:
    """The last steady measurement of each network in standard mode; the last one of those that never were steady."""
    rows = [
        row for row in read_results("bench.jsonl", "bench")
        if row["mode"] == "standard" and row["model"] not in LARGER
    ]  # fmt: skip
    # By network, not by name: a bundle is called by its folder.
    keys = ("runtime", "precision", "model", "threads")
    rows = keep_latest(rows, lambda row: tuple(row[key] for key in keys))
    return table(
        ["network", "runtime", "precision", "on", "p90, ms", "median", "p99", "spread, %", "drift, %", "load, ms",
         "first, ms", "peak, MB", "file, MB", "params, M", "GMACs", "GFLOP/s", "of GEMM, %"],
        [
            [row["model"], row["runtime"], row["precision"], row["environment"]["time"][:10],
             *(show(row, key) for key in FIGURES)]
            for row in sorted(rows, key=lambda row: tuple(row[key] for key in keys))
        ],
    )  # fmt: skip


def bench_ratios() -> str:
    rows = [
        row for row in read_results("bench.jsonl", "bench_ratio")
        if row["mode"] == "standard" and row["model"] not in LARGER
    ]  # fmt: skip
    keys = ("runtime", "precision", "model", "against_model", "against_runtime", "threads")
    return table(
        ["network", "in", "against", "in", "how many times as long (95% interval)", "verdict"],
        [
            [row["model"], f"{row['runtime']} {row['precision']}", row["against_model"],
             f"{row['against_runtime']} {row['against_precision']}", show_ratio(row, 3), row["verdict"]]
            for row in keep_latest(rows, lambda row: tuple(row[key] for key in keys))
        ],
    )  # fmt: skip


def bench_family() -> str:
    """A line for each size of RapidNet in each runtime and precision in which a larger one than Ti was measured.

    A steady measurement counts before one that is not, one in standard mode before a quick one, which says so.
    """
    rows = select_family(read_results("bench.jsonl", "bench"))
    ratios = {
        (row["runtime"], row["precision"], row["model"]): row
        for row in select_family(read_results("bench.jsonl", "bench_ratio"))
    }
    places = {(row["runtime"], row["precision"]) for row in rows if row["model"] in LARGER}
    rows = [row for row in rows if (row["runtime"], row["precision"]) in places]
    if not rows:
        return "Not measured yet."
    rows.sort(key=lambda row: (row["runtime"], row["precision"], FAMILY.find(row["model"])))
    lines = []
    for row in rows:
        ratio = ratios.get((row["runtime"], row["precision"], row["model"]))
        lines.append([
            mark(row, row["model"]), row["runtime"], row["precision"], row["environment"]["time"][:10],
            show(row, "latency_ms_p90"), show(row, "latency_ms_p50"),
            mark(ratio, show_ratio(ratio, 3)) if ratio else "", show(row, "gflops"), show(row, "gemm_share"),
        ])  # fmt: skip
    headings = ["network", "runtime", "precision", "on", "p90, ms", "median", "of MobileNetV2 x1.4 (95% interval)",
                "GFLOP/s", "of GEMM, %"]  # fmt: skip
    return table(headings, lines)


def select_family(rows: list[Row]) -> list[Row]:
    """Of each network of the family, runtime and precision the row that counts: one thread, one image of 224 px."""
    rows = [
        row for row in rows
        if row["model"] in FAMILY.split() and row["threads"] == 1 and row["runtime"] != "eager"
        and (row.get("batch", 1), row.get("image_size", 224)) == (1, 224)
        and (row["study"] == "bench" or (row["against_model"], row["against_runtime"]) == (PEER, row["runtime"]))
    ]  # fmt: skip
    rows.sort(key=lambda row: row["mode"] != "quick")
    return keep_latest(rows, lambda row: (row["runtime"], row["precision"], row["model"]))


def mark(row: Row, text: str) -> str:
    return f"{text} (quick)" if row["mode"] == "quick" else text


def bench_profile() -> str:
    rows = [row for row in read_results("bench_profile.jsonl", "bench_profile") if not row.get("estimated")]
    latest = {(row["runtime"], row["precision"], row["model"]): row for row in rows}
    return table(
        ["network", "in", "all, ms", "operators: ms (calls)"],
        [
            [row["model"], f"{row['runtime']} {row['precision']}", f"{row['ms']:.2f}",
             "; ".join(f"{kind['kind']} {kind['ms']:.2f} ({kind['calls']})"
                       for kind in row["kinds"] if kind["share"] > 0.02)]
            for row in latest.values()
        ],
    )  # fmt: skip


def bench_repeats() -> str:
    rows = read_results("bench_repeats.jsonl", "bench_ratio")
    return table(
        ["time (UTC)", "network", "against", "how many times as long (95% interval)"],
        [[row["environment"]["time"], row["name"], row["against"], show_ratio(row, 3)] for row in rows],
    )
