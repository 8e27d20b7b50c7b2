"""What do the tables of bulk predictions say?"""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results" / "bulk.jsonl"


def read(*trials: str) -> list[dict[str, Any]]:
    """The last row of each trial, in the order of the trials."""
    rows = read_rows(RESULTS) if RESULTS.exists() else []
    last = {(row["trial"], row.get("folders")): row for row in rows}
    return [row for trial in trials for key, row in last.items() if key[0] == trial]


def bulk() -> str:
    """Speed and what a kill costs."""
    rows = read("one process", "ray", "worker killed", "command killed")
    if not rows:
        return "Not measured yet."
    lines = []
    for row in rows:
        killed = f" at {row['parts_when_killed']} parts" if "parts_when_killed" in row else ""
        lines.append([
            row["trial"] + killed, str(row.get("workers", 1)), f"{row['pictures']:,}",
            f"{row['parts'] - row['parts_skipped']} of {row['parts']}", f"{row['seconds']:.1f}",
            f"{row['pictures_per_s']:.1f}" if row["pictures_per_s"] else "", "yes" if row["equal"] else "NO",
            str(row["environment"]["cpu_count"]),
        ])  # fmt: skip
    headings = ["trial", "workers", "pictures", "parts made by the last command", "its seconds", "pictures a second",
                "same bytes", "CPU cores"]  # fmt: skip
    return table(headings, lines)


def bulk_listing() -> str:
    """What a list costs."""
    rows = read("listing")
    if not rows:
        return "Not measured yet."
    return table(
        ["names", "folders", "seconds to list", "seconds to compare", "memory, MB", "file, MB"],
        [
            [f"{row['pictures']:,}", f"{row['folders']:,}", f"{row['seconds']:.1f}", f"{row['seconds_again']:.1f}",
             str(row["memory_mb"]), f"{row['file_mb']:.1f}"]
            for row in sorted(rows, key=lambda row: row["folders"])
        ],
    )  # fmt: skip
