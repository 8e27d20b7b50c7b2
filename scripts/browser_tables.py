"""What do the docs say of speed in a browser? The last row of each attempt in results/."""

from pathlib import Path

from markdown_table import table

from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results" / "browser.jsonl"
RUNTIMES = {"onnx": "onnxruntime-web", "litert": "LiteRT.js"}
MARKS = {True: " *", False: ""}


def browser() -> str:
    rows = {
        (row["bundle"], row["backend"], row["threads"]): row
        for row in (read_rows(RESULTS) if RESULTS.exists() else [])
        if "against_plain" in row
    }
    lines = []
    for row in rows.values():
        ratio = row["against_plain"]
        expected = "-" if row["expected"] is None else f"{row['expected']:.2f}{MARKS[row['first_look']]}"
        network = row["model"] + (", trained with ReLU" if row["bundle"].endswith("_relu") else "")
        lines.append([
            network, row["precision"], RUNTIMES[row["format"]], str(row["threads"]),
            f"{row['latency_ms_p50']:.1f}", f"{row['latency_ms_p90']:.1f}", expected,
            f"{ratio['ratio']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})", f"{1 / ratio['ratio']:.1f}",
            f"{row['load_ms']:.0f} + {row['first_ms']:.0f}",
        ])  # fmt: skip
    headings = [
        "network", "precision", "in", "threads", "p50, ms", "p90, ms", "expected", "time over the plain graph's",
        "times as fast", "load + first run, ms",
    ]  # fmt: skip
    return table(headings, lines) if lines else "Not measured yet."
