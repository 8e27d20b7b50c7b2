"""What is shown of a measurement: one table of networks, one of comparisons, and the context of both."""

from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rapidnet.benchmark.machine import UNKNOWN

Row = dict[str, Any]


def number(key: str, digits: int, factor: float = 1.0) -> Callable[[Row], str]:
    return lambda row: f"{row[key] * factor:.{digits}f}" if row.get(key) is not None else UNKNOWN


# Heading -> the cell of a row.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "network": lambda row: row["name"],
    "runtime": lambda row: row["runtime"],
    "precision": lambda row: row["precision"],
    "p90 ms": number("latency_ms_p90", 2),
    "median": number("latency_ms_p50", 2),
    "p99": number("latency_ms_p99", 2),
    "spread %": number("spread", 1, 100),
    "drift %": number("drift", 1, 100),
    "load ms": number("load_ms", 0),
    "first ms": number("first_ms", 1),
    "peak MB": number("peak_mb", 0),
    "file MB": number("file_mb", 1),
    "params M": number("params_m", 2),
    "GMACs": number("gmacs", 3),
    "GFLOP/s": number("gflops", 0),
    "of GEMM %": number("gemm_share", 0, 100),
}
FOR_PHONES = ("coreml", "executorch", "litert", "ncnn")
"""Runtimes whose figures here could be taken for a phone's."""
STEPS = ("decode", "resize", "copy", "normalise", "model", "post")


def print_report(rows: list[Row], console: Console) -> None:
    """Every number of threads: its networks, its comparisons, its context."""
    for threads in dict.fromkeys(row["threads"] for row in rows):
        mine = [row for row in rows if row["threads"] == threads]
        networks = [row for row in mine if row["study"] == "bench"]
        console.print(build_table(networks))
        if any(row.get("split_ms") for row in networks):
            console.print(build_split(networks))
        ratios = [row for row in mine if row["study"] == "bench_ratio"]
        if ratios:
            console.print(build_ratios(ratios))
        console.print(f"{describe_context(networks[0])}; {describe_units(networks)}", highlight=False)
        phones = sorted({row["runtime"] for row in networks} & set(FOR_PHONES))
        if phones:
            console.print(
                f"{', '.join(phones)}: not run on a device, these are this computer's figures", highlight=False
            )
        for row in mine:
            if row["reasons"]:
                what = f"{row['name']} against {row['against']}" if "against" in row else row["name"]
                console.print(f"[bold red]unstable[/bold red] {what}: {'; '.join(row['reasons'])}", highlight=False)


def build_table(rows: list[Row]) -> Table:
    table = Table(title=f"one call of {rows[0]['batch']}, threads: {rows[0]['threads']}", box=SIMPLE_HEAD)
    for index, heading in enumerate(COLUMNS):
        table.add_column(heading, justify="left" if index < 3 else "right", overflow="fold")
    for row in rows:
        cells = [cell(row) for cell in COLUMNS.values()]
        if row["reasons"]:
            cells[3:6] = ["unstable", "", ""]
        table.add_row(*cells)
    return table


def build_split(rows: list[Row]) -> Table:
    table = Table(title="from a JPEG file to class numbers, ms", box=SIMPLE_HEAD)
    for heading in ("network", "runtime", "precision"):
        table.add_column(heading)
    for step in (*STEPS, "all"):
        table.add_column(step, justify="right")
    for row in rows:
        split = row.get("split_ms")
        if split:
            steps = [f"{split[step]:.2f}" for step in STEPS]
            table.add_row(row["name"], row["runtime"], row["precision"], *steps, f"{sum(split.values()):.2f}")
    return table


def build_ratios(rows: list[Row]) -> Table:
    table = Table(title="how many times as long (95% interval)", box=SIMPLE_HEAD)
    for heading in ("network", "against", "in", "ratio", "interval", ""):
        table.add_column(heading)
    for row in rows:
        place = f"{row['runtime']} {row['precision']}"
        rival = f"{row['against_runtime']} {row['against_precision']}"
        shown = ["", ""] if row["reasons"] else [f"{row['ratio']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        place = place if place == rival else f"{place} against {rival}"
        table.add_row(row["name"], row["against"], place, *shown, row["verdict"])
    return table


def describe_context(row: Row) -> str:
    """Where and how the figures were taken."""
    environment = row["environment"]
    others = row["used_by_others"]
    busy = others if isinstance(others, str) else f"{others:.1%}"
    mode = row["mode"] if row["mode"] != "quick" else "quick: indicative only"
    return (
        f"{environment['cpu']}, {environment['cpu_count']} processors, {environment['os']}; "
        f"governor {row['governor']}, turbo {row['turbo']}; mode {mode}; load {row['load_before']} before, "
        f"{row['load_after']} after, others used {busy}; GEMM {row['gemm_gflops']:.1f} GFLOP/s "
        f"({row['gemm']})"
    )


def describe_units(rows: list[Row]) -> str:
    """The compute units asked for and used, once for all networks if they agree."""
    units = {row["name"]: (row["compute_unit_asked"], row["compute_unit_used"]) for row in rows}
    if len(set(units.values())) > 1:
        return "compute unit " + ", ".join(f"of {name} asked for: {a}, used: {u}" for name, (a, u) in units.items())
    ((asked, used),) = set(units.values())
    return (
        f"compute unit asked for and used: {asked}"
        if asked == used
        else f"compute unit asked for: {asked}, used: {used}"
    )
