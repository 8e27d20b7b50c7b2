"""Which runtimes are installed here, which versions were tested, and what is to be installed for the rest?"""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.console import Console
from rich.table import Table

from rapidnet.config.export import DoctorConfig
from rapidnet.runtimes.formats import FORMATS, TESTED


def run_doctor(config: DoctorConfig) -> int:
    """The doctor command."""
    rows = describe_runtimes()
    if config.json:
        print(json.dumps(rows))
        return 0
    console = Console()
    table = Table("format", "package", "needed to", "installed", "tested", "")
    for row in rows:
        for package in row["packages"]:
            found = package["installed"] or "[bold red]missing[/bold red]"
            remark = ""
            if package["installed"] and package["installed"] != package["tested"]:
                remark = "[yellow]another version than the tested one[/yellow]"
            table.add_row(row["format"], package["name"], package["needed_to"], found, package["tested"], remark)
        table.add_section()
    console.print(table)
    for row in rows:
        if row["install"]:
            console.print(f"{row['format']}: {row['install']}", markup=False, highlight=False)
    console.print("Several extras: install them in one command, or they break each other's pins.", highlight=False)
    return 0


def describe_runtimes() -> list[dict[str, Any]]:
    """For each format its packages (name, needed_to, installed or None, tested), and the command for missing ones."""
    rows = []
    for name, kind in FORMATS.items():
        packages = [describe_package(package, "run") for package in kind.runs_with]
        packages += [describe_package(package, "export") for package in kind.converts_with]
        missing = any(package["installed"] is None for package in packages)
        install = f"pip install 'rapidnet[{kind.extra}]'" if kind.extra else "pip install rapidnet"
        rows.append({"format": name, "packages": packages, "install": install if missing else ""})
    return rows


def describe_package(name: str, needed_to: str) -> dict[str, Any]:
    try:
        installed: str | None = version(name)
    except PackageNotFoundError:
        installed = None
    return {"name": name, "needed_to": needed_to, "installed": installed, "tested": TESTED[name]}
