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
    "in": lambda row: f"{row['runtime']} {row['precision']}",
    "at": lambda row: f"{row['batch']} of {row['image_size']} px",
    "p90 ms": number("latency_ms_p90", 2),
    "median": number("latency_ms_p50", 2),
    "p99": number("latency_ms_p99", 2),
    "images/s": number("images_per_s", 1),
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
# The columns of both tables, and of the first; all others are the second's.
BOTH = ("network", "in", "at")
FIGURES = ("p90 ms", "median", "p99", "images/s")
FIRST = (*FIGURES, "spread %", "drift %")
STEPS = ("decode", "resize", "copy", "normalise", "model", "post")


def print_report(rows: list[Row], console: Console) -> None:
    """Every number of threads: its networks, its comparisons, its context."""
    for threads in dict.fromkeys(row["threads"] for row in rows):
        mine = [row for row in rows if row["threads"] == threads]
        networks = [row for row in mine if row["study"] == "bench"]
        console.print(build_table(networks, [*BOTH, *FIRST], f"one call, threads: {threads}"))
        console.print(build_table(networks, [name for name in COLUMNS if name not in FIRST], "what it takes"))
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
                what += f", {COLUMNS['in'](row)}, {COLUMNS['at'](row)}"
                console.print(f"[bold red]unstable[/bold red] {what}: {'; '.join(row['reasons'])}", highlight=False)


def build_table(rows: list[Row], headings: list[str], title: str) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings:
        width = len("unstable") if heading == FIGURES[0] else None
        table.add_column(heading, justify="left" if heading in BOTH else "right", overflow="fold", min_width=width)
    for row in rows:
        cells = {heading: COLUMNS[heading](row) for heading in headings}
        if row["reasons"]:
            cells |= dict.fromkeys(FIGURES, "") | {FIGURES[0]: "unstable"}
        table.add_row(*(cells[heading] for heading in headings))
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
    for heading in ("network", "against", "in", "at", "ratio", "interval", ""):
        table.add_column(heading, overflow="fold")
    for row in rows:
        place = f"{row['runtime']} {row['precision']}"
        rival = f"{row['against_runtime']} {row['against_precision']}"
        shown = ["", ""] if row["reasons"] else [f"{row['ratio']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        place = place if place == rival else f"{place} against {rival}"
        sizes = dict.fromkeys((row["image_size"], row["against_image_size"]))
        point = f"{row['batch']} of {' and '.join(map(str, sizes))} px"
        table.add_row(row["name"], row["against"], place, point, *shown, row["verdict"])
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
