"""What is shown of figures from phones: measured there through a runtime's own program, or imported from others?"""

from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rapidnet.benchmark.bench_report import build_ratios, describe_units, number
from rapidnet.benchmark.machine import UNKNOWN

Row = dict[str, Any]
Columns = dict[str, Callable[[Row], str]]


def figure(key: str) -> Callable[[Row], str]:
    """A latency, which an unsteady measurement does not have."""
    shown = number(key, 2)
    return lambda row: "unstable" if row["reasons"] else shown(row)


# Heading -> the cell of a row.
MEASURED: Columns = {
    "network": lambda row: row["name"],
    "runtime": lambda row: row["runtime"],
    "precision": lambda row: row["precision"],
    "p90 ms": figure("latency_ms_p90"),
    "median": figure("latency_ms_p50"),
    "mean": figure("latency_ms_mean"),
    "spread %": number("spread", 1, 100),
    "drift %": number("drift", 1, 100),
    "of": lambda row: row["told"],
    "load ms": number("load_ms", 0),
    "first ms": number("first_ms", 1),
    "file MB": number("file_mb", 1),
}
IMPORTED: Columns = {
    "file": lambda row: row["source_file"],
    "network": lambda row: row["model"],
    "runtime": lambda row: row["runtime"],
    "precision": lambda row: row["precision"],
    "device": lambda row: row["device"],
    "system": lambda row: row["system"],
    "asked for": lambda row: row["compute_unit_asked"],
    "computed by": lambda row: row["compute_unit_used"],
    "p90 ms": number("latency_ms_p90", 2),
    "median": number("latency_ms_p50", 2),
    "mean": number("latency_ms_mean", 2),
    "stated": number("latency_ms_stated", 2),
    "runs": lambda row: str(row["runs"]),
}
RIGHT = {"p90 ms", "median", "mean", "stated", "spread %", "drift %", "load ms", "first ms", "file MB", "runs"}


def print_device_report(rows: list[Row], console: Console) -> None:
    """Every number of threads: its networks, its comparisons, the device and what was not checked on it."""
    for threads in dict.fromkeys(row["threads"] for row in rows):
        mine = [row for row in rows if row["threads"] == threads]
        networks = [row for row in mine if "against" not in row]
        console.print(build_table(f"on the device, one image a call, threads: {threads}", MEASURED, networks))
        ratios = [row for row in mine if "against" in row]
        if ratios:
            console.print(build_ratios(ratios))
        console.print(f"{describe_phone(networks[0])}; {describe_units(networks)}", highlight=False)
        for row in mine:
            if row["reasons"]:
                what = f"{row['name']} against {row['against']}" if "against" in row else row["name"]
                console.print(f"[bold red]unstable[/bold red] {what}: {'; '.join(row['reasons'])}", highlight=False)
    console.print(
        f"numbers: {networks[0]['numerics']}; rapidnet verify BUNDLE --device-kit FOLDER makes what checks them there",
        highlight=False,
    )


def print_imports(rows: list[Row], console: Console) -> None:
    console.print(build_table("not run on a device by us", IMPORTED, rows))
    for name in dict.fromkeys(row["source_file"] for row in rows):
        row = next(row for row in rows if row["source_file"] == name)
        digest = row["source_sha256"][:12]
        console.print(f"{name}: {row['source_format']}, SHA-256 {digest}..; {row['measured_by']}", highlight=False)


def build_table(title: str, columns: Columns, rows: list[Row]) -> Table:
    """Columns of which no row knows anything are left out."""
    cells = {heading: [cell(row) for row in rows] for heading, cell in columns.items()}
    shown = {heading: column for heading, column in cells.items() if set(column) != {UNKNOWN}}
    table = Table(title=title, box=SIMPLE_HEAD)
    for heading in shown:
        table.add_column(heading, justify="right" if heading in RIGHT else "left", overflow="fold")
    for line in zip(*shown.values(), strict=True):
        table.add_row(*line)
    return table


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
