"""How does a table of figures fit a terminal of 80 columns without breaking its lines?"""

from collections.abc import Collection, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

GAPS = (1, 0)
"""Spaces between columns, beside the one that is always there: the first with which a table fits."""
UNLIMITED = 10_000


def print_table(
    console: Console, title: str, columns: Mapping[str, Sequence[str]], left: Collection[str] = (), note: str = ""
) -> None:
    """A table under its title, each as wide as it needs; units, the last words of headings, have a line of their own.

    Args:
        columns: heading -> its cells; left: headings of those that are words; note: what is said behind the title,
            from the space or new line on.
    """
    console.print()
    console.print(Text.assemble((title, "bold"), note), highlight=False)
    for gap in GAPS:
        table = build_table(columns, left, gap)
        if measure(table, console) <= console.width:
            break
    console.print(table)


def measure(table: Table, console: Console) -> int:
    """How many columns a table takes if it is given all it wants."""
    return Measurement.get(console, console.options.update(max_width=UNLIMITED), table).maximum


def build_table(columns: Mapping[str, Sequence[str]], left: Collection[str], gap: int) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for heading in columns:
        shown = heading if heading in left else "\n".join(heading.rsplit(" ", 1))
        table.add_column(shown, justify="left" if heading in left else "right", overflow="fold", vertical="bottom")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*cells)
    return table
