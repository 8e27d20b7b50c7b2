"""What is shown of a measurement: tables of networks, of comparisons, and the context of both."""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from rapidnet.benchmark.machine import UNKNOWN
from rapidnet.benchmark.narrow_table import print_table
from rapidnet.config.bench import EAGER

Row = dict[str, Any]


def number(key: str, digits: int, factor: float = 1.0) -> Callable[[Row], str]:
    return lambda row: f"{row[key] * factor:.{digits}f}" if row.get(key) is not None else UNKNOWN


# Title -> headings -> the cell of a row. Together they would be too wide for a terminal.
TABLES: dict[str, dict[str, Callable[[Row], str]]] = {
    "one call": {
        "p90 ms": number("latency_ms_p90", 2),
        "median": number("latency_ms_p50", 2),
        "p99": number("latency_ms_p99", 2),
        "images/s": number("images_per_s", 1),
    },
    "how steady, and what opening it takes": {
        "spread %": number("spread", 1, 100),
        "drift %": number("drift", 1, 100),
        "load ms": number("load_ms", 0),
        "first ms": number("first_ms", 1),
        "peak MB": number("peak_mb", 0),
    },
    "size and arithmetic": {
        "file MB": number("file_mb", 1),
        "params M": number("params_m", 2),
        "GMACs": number("gmacs", 3),
        "GFLOP/s": number("gflops", 0),
        "of GEMM %": number("gemm_share", 0, 100),
    },
}
FIRST, FIGURES = "p90 ms", ("median", "p99", "images/s", "GFLOP/s", "of GEMM %")
"""What "unstable" stands in place of, and what an unsteady network does not have either."""
FOR_PHONES = ("coreml", "executorch", "litert", "ncnn")
"""Runtimes whose figures here could be taken for a phone's."""
WORDS = ("network", "in", "at", "against", "95% interval", "verdict")
"""Headings of what is no figure."""
STEPS = ("decode", "resize", "copy", "normalise", "model", "post")


def print_report(rows: list[Row], console: Console) -> None:
    """Every number of threads: its networks, its comparisons, its context."""
    for threads in dict.fromkeys(row["threads"] for row in rows):
        mine = [row for row in rows if row["threads"] == threads]
        networks = [row for row in mine if row["study"] == "bench"]
        for title, headings in TABLES.items():
            print_networks(f"{title}, threads: {threads}", headings, networks, console)
        print_split([row for row in networks if row.get("split_ms")], console)
        print_ratios([row for row in mine if row["study"] == "bench_ratio"], console)
        console.print(f"\n{describe_context(networks[0])}; {describe_units(networks)}", highlight=False)
        phones = sorted({row["runtime"] for row in networks} & set(FOR_PHONES))
        if phones:
            console.print(
                f"{', '.join(phones)}: not run on a device, these are this computer's figures", highlight=False
            )
        for row in mine:
            if row["reasons"]:
                what = f"{row['name']} against {row['against']}" if "against" in row else row["name"]
                what += f", {describe_place(row)}, {describe_point(row)}"
                console.print(f"[bold red]unstable[/bold red] {what}: {'; '.join(row['reasons'])}", highlight=False)


def describe_place(row: Row) -> str:
    return f"{row['runtime']} {row['precision']}"


def describe_point(row: Row) -> str:
    return f"{row['batch']} of {row['image_size']} px"


def describe_network(row: Row) -> str:
    """A network's name, without the runtime and precision that a bundle's ends in: they have a column."""
    return str(row["name"]).removesuffix(f"-{row['runtime']}-{row['precision']}")


def describe_rival(row: Row) -> str:
    """What a network is compared with, as --against takes it: NAME@RUNTIME for another runtime; with what differs."""
    rival = str(row["against"]).removesuffix(f"-{row['against_runtime']}-{row['against_precision']}")
    if row["against_runtime"] != row["runtime"]:
        rival += f"@{row['against_runtime']}"
    # Eager torch computes in fp32 only.
    if row["against_precision"] != row["precision"] and row["against_runtime"] != EAGER:
        rival += f" {row['against_precision']}"
    if row["against_image_size"] != row["image_size"]:
        rival += f" ({row['against_image_size']} px)"
    return rival


def print_networks(title: str, headings: dict[str, Callable[[Row], str]], rows: list[Row], console: Console) -> None:
    columns = {"network": [describe_network(row) for row in rows], "in": [describe_place(row) for row in rows]}
    found = {heading: [cell(row) for row in rows] for heading, cell in headings.items()}
    for heading in found:
        if heading == FIRST or heading in FIGURES:
            instead = "unstable" if heading == FIRST else ""
            found[heading] = [
                instead if row["reasons"] else cell for row, cell in zip(rows, found[heading], strict=True)
            ]
    print_at(title, columns, rows, found, console)


def print_at(
    title: str, names: dict[str, list[str]], rows: list[Row], figures: dict[str, list[str]], console: Console
) -> None:
    """Batch and size in a column of their own, or beside the title where they are all alike."""
    points = [describe_point(row) for row in rows]
    alike = len(set(points)) == 1
    columns = names | ({} if alike else {"at": points}) | figures
    print_table(console, title, columns, WORDS, f" ({points[0]})" if alike else "")


def print_split(rows: list[Row], console: Console) -> None:
    """The steps of what takes photographs; nothing if nothing does."""
    if not rows:
        return
    splits = [row["split_ms"] for row in rows]
    columns = {"network": [describe_network(row) for row in rows], "in": [describe_place(row) for row in rows]}
    steps = {step: [f"{split[step]:.2f}" for split in splits] for step in STEPS}
    steps["all"] = [f"{sum(split.values()):.2f}" for split in splits]
    print_table(console, "from a JPEG file to class numbers, ms", columns | steps, WORDS)


def print_ratios(rows: list[Row], console: Console) -> None:
    """A table for each runtime and precision that was compared."""
    for place in dict.fromkeys(describe_place(row) for row in rows):
        mine = [row for row in rows if describe_place(row) == place]
        names = {
            "network": [describe_network(row) for row in mine], "against": [describe_rival(row) for row in mine]
        }  # fmt: skip
        figures = {
            "ratio": ["" if row["reasons"] else f"{row['ratio']:.3f}" for row in mine],
            "95% interval": ["" if row["reasons"] else f"{row['low']:.3f} to {row['high']:.3f}" for row in mine],
            "verdict": [row["verdict"] for row in mine],
        }
        print_at(f"{place}: how many times as long", names, mine, figures, console)


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
