"""What is shown of figures from phones: measured there through a runtime's own program, or imported from others?"""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from rapidnet.benchmark.bench_report import describe_network, describe_place, describe_units, number, print_ratios
from rapidnet.benchmark.machine import UNKNOWN
from rapidnet.benchmark.narrow_table import print_table

Row = dict[str, Any]
Columns = dict[str, Callable[[Row], str]]


def figure(key: str) -> Callable[[Row], str]:
    """A latency, which an unsteady measurement does not have."""
    shown = number(key, 2)
    return lambda row: "unstable" if row["reasons"] else shown(row)


# Title -> heading -> the cell of a row.
MEASURED: dict[str, Columns] = {
    "on the device, one image a call": {
        "network": describe_network,
        "in": describe_place,
        "p90 ms": figure("latency_ms_p90"),
        "median": figure("latency_ms_p50"),
        "mean": figure("latency_ms_mean"),
        "spread %": number("spread", 1, 100),
        "drift %": number("drift", 1, 100),
        "of": lambda row: row["told"],
    },
    "what opening it takes": {
        "network": describe_network,
        "in": describe_place,
        "load ms": number("load_ms", 0),
        "first ms": number("first_ms", 1),
        "file MB": number("file_mb", 1),
    },
}
IMPORTED: dict[str, Columns] = {
    "not run on a device by us": {
        "file": lambda row: row["source_file"],
        "network": lambda row: row["model"],
        "in": describe_place,
        "p90 ms": number("latency_ms_p90", 2),
        "median": number("latency_ms_p50", 2),
        "mean": number("latency_ms_mean", 2),
        "stated": number("latency_ms_stated", 2),
        "runs": lambda row: str(row["runs"]),
    },
    "where, as they say": {
        "file": lambda row: row["source_file"],
        "network": lambda row: row["model"],
        "device": lambda row: row["device"],
        "system": lambda row: row["system"],
    },
    "on which units, as they say": {
        "file": lambda row: row["source_file"],
        "network": lambda row: row["model"],
        "asked for": lambda row: row["compute_unit_asked"],
        "computed by": lambda row: row["compute_unit_used"],
    },
}
NAMES = {"network", "in", "file"}
WORDS = NAMES | {"device", "system", "asked for", "computed by"}


def print_device_report(rows: list[Row], console: Console) -> None:
    """Every number of threads: its networks, its comparisons, the device and what was not checked on it."""
    for threads in dict.fromkeys(row["threads"] for row in rows):
        mine = [row for row in rows if row["threads"] == threads]
        networks = [row for row in mine if "against" not in row]
        print_tables(MEASURED, networks, console, f", threads: {threads}")
        print_ratios([row for row in mine if "against" in row], console)
        console.print(f"\n{describe_phone(networks[0])}; {describe_units(networks)}", highlight=False)
        for row in mine:
            if row["reasons"]:
                what = f"{row['name']} against {row['against']}" if "against" in row else row["name"]
                console.print(f"[bold red]unstable[/bold red] {what}: {'; '.join(row['reasons'])}", highlight=False)
    console.print(
        f"numbers: {networks[0]['numerics']}; rapidnet verify BUNDLE --device-kit FOLDER makes what checks them there",
        highlight=False,
    )


def print_imports(rows: list[Row], console: Console) -> None:
    print_tables(IMPORTED, rows, console)
    console.print()
    for name in dict.fromkeys(row["source_file"] for row in rows):
        row = next(row for row in rows if row["source_file"] == name)
        digest = row["source_sha256"][:12]
        console.print(f"{name}: {row['source_format']}, SHA-256 {digest}..; {row['measured_by']}", highlight=False)


def print_tables(tables: dict[str, Columns], rows: list[Row], console: Console, where: str = "") -> None:
    """Columns of which no row knows anything are left out, and tables that have no others but names."""
    for title, columns in tables.items():
        cells = {heading: [cell(row) for row in rows] for heading, cell in columns.items()}
        shown = {
            heading: column for heading, column in cells.items() if heading in NAMES or set(column) != {UNKNOWN}
        }  # fmt: skip
        if not set(shown) <= NAMES:
            print_table(console, f"{title}{where}", shown, WORDS)


def describe_phone(row: Row) -> str:
    """Where and how the figures were taken."""
    device = row["device"]
    clocks = device["clocks"]
    if isinstance(clocks, dict):
        clocks = ", ".join(f"{name} {each['governor']} to {each['max_mhz']} MHz" for name, each in clocks.items())
    kind = "emulator (no phone's figures)" if device["emulator"] else f"{device['manufacturer']} {device['model']}"
    mode = row["mode"] if row["mode"] != "quick" else "quick: indicative only"
    return (
        f"{kind}, {device['soc']}, Android {device['android']}, {device['abi']}; clocks: {clocks}; mode {mode}; "
        f"before: {describe_moment(row['before'])}; after: {describe_moment(row['after'])}; "
        f"{row['runner']['program']} by {row['blocks']} calls, input {row['inputs']}"
    )


def describe_moment(state: Row) -> str:
    warm = state["temperatures_c"]
    if isinstance(warm, dict):
        warm = ", ".join(f"{name} {value:.0f} °C" for name, value in warm.items())
    percent = state["battery_percent"]
    charge = percent if isinstance(percent, str) else f"{percent}%"
    return f"thermal status {state['thermal']} ({warm}), battery {charge} {state['battery']}"
