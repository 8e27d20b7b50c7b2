"""How does a certificate look to a person?"""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_certificate(certificate: dict[str, Any], title: str, console: Console) -> None:
    """Every check and every negative control, with what was found and what was asked."""
    table = Table("check", "found", "asked", "", title=title, title_justify="left")
    for check in certificate["checks"]:
        unit = f" {check['unit']}" if check["unit"] else ""
        verdict = "[green]passed[/green]" if check["passed"] else "[bold red]FAILED[/bold red]"
        table.add_row(check["name"], f"{check['figure']}{unit}", str(check["bound"]), verdict)
    table.add_section()
    for control in certificate["negative_controls"]:
        if control["caught"] is None:
            table.add_row(f"control: {control['name']}", "", "must fail", f"[dim]not possible: {control['why']}[/dim]")
            continue
        found = f"{len(control['tripped'])} checks fail"
        verdict = "[green]caught[/green]" if control["caught"] else "[bold red]NOT NOTICED[/bold red]"
        table.add_row(f"control: {control['name']}", found, "must fail", verdict)
    console.print(table)
