"""What do the docs say of the server under load and attack? The last row of each measurement in results/."""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results" / "serving.jsonl"
NOT_YET = "Not measured yet."


def find(study: str, *keys: str) -> list[dict[str, Any]]:
    """The last row of the study for each value of the keys, in order."""
    rows = read_rows(RESULTS) if RESULTS.exists() else []
    found = {tuple(row[key] for key in keys): row for row in rows if row["study"] == study}
    return [found[key] for key in sorted(found)]


def describe_network(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['format']} {row['precision']}, {row['image_size']} px"


def serving_load() -> str:
    rows = find("serving_load", "image_size", "model", "format", "precision", "max_batch", "concurrency")
    headings = [
        "network", "batches of up to", "requests at a time", "pictures/s", "p50, ms", "p99, ms", "errors",
        "of the network alone", "of decode, prepare, network in one thread", "server, MB",
    ]  # fmt: skip
    lines = [
        [
            describe_network(row), str(min(row["max_batch"], row["bundle_max_batch"])), str(row["concurrency"]),
            f"{row['throughput']:.0f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", str(row["errors"]),
            f"{100 * row['ratio_network']:.0f}%", f"{100 * row['ratio_pipeline']:.0f}%", f"{row['rss_after_mb']:.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    return table(headings, lines) if lines else NOT_YET


def serving_soak() -> str:
    rows = find("serving_soak", "image_size", "model", "format", "precision")
    headings = ["network", "requests", "errors", "pictures/s", "MB at the start", "after a tenth", "at the end", "most"]
    lines = [
        [
            describe_network(row), f"{row['requests']:,}", str(row["errors"]), f"{row['throughput']:.0f}",
            *(f"{row[key]:.1f}" for key in ("rss_start_mb", "rss_settled_mb", "rss_end_mb", "rss_most_mb")),
        ]
        for row in rows
    ]  # fmt: skip
    return table(headings, lines) if lines else NOT_YET


def serving_attack() -> str:
    rows = find("serving_attack", "attack")
    headings = ["attack", "answers to it", "an honest client beside it: p50, ms", "its longest wait, ms",
                "server, most MB", "MB after it", "failures in the log"]  # fmt: skip
    lines = [
        [
            row["attack"], ", ".join(f"{count:,} x {status}" for status, count in row["statuses"].items()),
            f"{row['honest_p50_ms']:.1f}", f"{row['honest_most_ms']:.0f}", f"{row['rss_most_mb']:.0f}",
            f"{row['rss_after_mb']:.0f}", str(row["failures"]),
        ]
        for row in rows
    ]  # fmt: skip
    return table(headings, lines) if lines else NOT_YET
