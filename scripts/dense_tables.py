"""What do the tables of detection and segmentation say?"""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows

RESULTS = Path(__file__).resolve().parents[1] / "results"


def read(name: str) -> list[dict[str, Any]]:
    path = RESULTS / name
    return read_rows(path) if path.exists() else []


def quickstart_dense() -> str:
    """The quickstarts that find digits and name pixels."""
    rows = [row for row in read("quickstart.jsonl") if row.get("task", "classify") != "classify"]
    if not rows:
        return "Not measured yet."
    lines = []
    for row in sorted(rows, key=lambda row: (row["task"], row["seed"])):
        if row["task"] == "detect":
            score = f"box AP50 {row['box_ap50']:.2f}, box AP {row['box_ap']:.2f}"
        else:
            low, high = row["miou_interval"]
            score = f"mIoU {row['miou']:.2f} ({low:.2f} to {high:.2f})"
        minutes, cores = f"{row['seconds'] / 60:.1f}", str(row["environment"]["cpu_count"])
        lines.append([row["task"], row["head"], str(row["seed"]), score, str(row["images"]), minutes, cores])
    headings = ["task", "head", "seed", "on held-out scenes, %", "scenes", "minutes", "CPU cores"]
    return table(headings, lines)


def camvid() -> str:
    """Random weights against a classifier's, seed by seed."""
    rows = read("camvid.jsonl")
    comparisons = [row for row in rows if row["study"] == "camvid comparison"]
    if not comparisons:
        return "Not measured yet."
    facts = {row["epochs"]: row for row in comparisons}
    runs = [row for row in rows if row["study"] == "train"]
    trained = {(row["epochs"], bool(row["config"]["init"]), row["seed"]): row for row in runs}
    seeds = sorted({seed for _, _, seed in trained})
    lines = []
    for epochs in sorted({epochs for epochs, _, _ in trained}):
        for name, init in (("random", False), ("pretrained", True)):
            scores = [trained.get((epochs, init, seed)) for seed in seeds]
            mean = ""
            if epochs in facts:
                low, high = facts[epochs][f"{name}_interval"]
                mean = f"{facts[epochs][name]:.2f} ({low:.2f} to {high:.2f})"
            lines.append([str(epochs), name, *(f"{row['miou']:.2f}" if row else "" for row in scores), mean])
        if epochs in facts:
            row = facts[epochs]
            low, high = row["difference_interval"]
            said = f"{row['difference']:+.2f} ({low:+.2f} to {high:+.2f}), p = {row['p']:.4f}"
            lines.append([str(epochs), "pretrained - random", *[""] * len(seeds), said])
    return table(["epochs", "start", *(f"seed {seed}, mIoU %" for seed in seeds), "mean (95% t interval)"], lines)


def export_dense() -> str:
    """Each artifact's certificate; the last row of each counts."""
    latest = {
        (row["task"], row["head"], row["part"], row["precision"], row["format"]): row
        for row in read("export_dense.jsonl")
    }
    if not latest:
        return "Not measured yet."
    lines = []
    for (task, head, part, precision, name), row in latest.items():
        caught = [value for value in row["controls"].values() if value is not None]
        score = "box AP" if row.get("score") == "box_ap" else "mask AP" if row.get("score") == "mask_ap" else "mIoU"
        judged = part == "whole"
        lines.append([
            f"{task}, {head}" if judged else f"{head}, pyramid", name, precision, f"{row['sqnr_db']:.0f}",
            f"{row['agreement']:.3f}" if judged else "", str(row["images"]) if judged else "",
            f"{score} {row['artifact']:.2f} / {row['network']:.2f}" if judged else "",
            f"{sum(caught)} of {len(caught)}", row["verdict"],
        ])  # fmt: skip
    headings = [
        "network", "format", "precision", "SQNR, dB", "same boxes or pixels, %", "pictures", "artifact / network",
        "mistakes noticed", "verdict",
    ]  # fmt: skip
    return table(headings, lines)
