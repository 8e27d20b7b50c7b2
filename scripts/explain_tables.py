"""What do the tables of docs/explain.md say? What the last rows of each network say of fields, branches and maps."""

from pathlib import Path
from typing import Any

from markdown_table import table

from rapidnet.environment import read_rows
from rapidnet.explain.progress import shorten

RESULTS = Path(__file__).resolve().parents[1] / "results" / "explain.jsonl"
MISSING = "Not measured yet."
METHODS = {
    "gradcam": "Grad-CAM", "occlusion": "occlusion", "rise": "RISE", "centre": "the middle first",
}  # fmt: skip


def read_measured(part: str, *keys: str) -> list[dict[str, Any]]:
    """The last row of each subject, and of each of these facts of the part, that has it."""
    rows = [row for row in (read_rows(RESULTS) if RESULTS.exists() else []) if part in row]
    return list({(row["subject"], *(row[part][key] for key in keys)): row for row in rows}.values())


def name_subject(row: dict[str, Any]) -> str:
    """The end of its path, as long as it takes to tell it from all others in the file."""
    subjects = list(dict.fromkeys(row["subject"] for row in read_rows(RESULTS)))
    return shorten(subjects)[subjects.index(row["subject"])]


def describe(row: dict[str, Any]) -> str:
    kind = "run" if row["kind"] == "run" else f"{row['format']} {row['precision']}"
    return f"{name_subject(row)}, {kind}"


def explain_fields() -> str:
    """A line a stage, with trained and with fresh weights."""
    lines = []
    for row in read_measured("fields", "image_size"):
        facts = row["fields"]
        for weights in ("trained", "fresh"):
            for stage in facts.get(weights, []):
                sides = [f"{side:g}" for side in stage["sides"].values()]
                name = f"{name_subject(row)}, {weights}, {facts['image_size']} px"
                theory = "unknown" if stage["theory"] is None else str(stage["theory"])
                lines.append([name, stage["stage"], theory, *sides, f"{stage['areas']['99']:.0f}"])
    headings = ["network", "stage", "in theory, px", "20 %", "30 %", "50 %", "99 %", "99 %, % of the picture"]
    return table(headings, lines) if lines else MISSING


def explain_branches() -> str:
    """A line a branch and one for all of a block."""
    lines = []
    for row in read_measured("branches"):
        facts = row["branches"]
        for block in facts["blocks"]:
            for line in (*block["branches"], block["all"]):
                low, high = line["difference_interval"]
                own = ["all", "", "", ""]
                if "dilation" in line:
                    alike = "" if line["correlation"] is None else f"{line['correlation']:+.2f}"
                    shares = f"{line['norm_share']:.1f}", f"{line['variance_share']:.1f}"
                    own = [str(line["dilation"]), *shares, alike]
                lost = f"{line['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
                block_name = block["block"].removesuffix(".mixer")
                lines.append([f"{name_subject(row)}, {block_name}", *own, f"{line['logit_change']:.1f}", lost])
        low, high = facts["everything"]["difference_interval"]
        lost = f"{facts['everything']['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
        name = f"{name_subject(row)}, every block"
        lines.append([name, "all", "", "", "", f"{facts['everything']['logit_change']:.1f}", lost])
    headings = [
        "network, block", "dilation", "L2 norm, %", "variance, %", "correlation with the other",
        "logits changed, %", "top-1, points (95% interval)",
    ]  # fmt: skip
    return table(headings, lines) if lines else MISSING


def compare(facts: dict[str, Any], name: str) -> str:
    """With which other maps a method's were compared, and the mean correlation."""
    others = {"the run's": facts.get("against_first", {}).get(name)}
    if name == "gradcam":
        others |= {"fresh weights'": facts.get("randomised"), "another picture's": facts.get("other_picture")}
    known = {whose: found["mean"] for whose, found in others.items() if found and found["mean"] is not None}
    return ", ".join(f"{whose} {mean:+.2f}" for whose, mean in known.items())


def explain_maps() -> str:
    """A line a map, beside random ones."""
    lines = []
    for row in read_measured("maps", "stage"):
        facts = row["maps"]
        stage = f", stage {facts['stage']}" if facts["stage"] else ""
        random = facts["random"]
        lines.append([f"{describe(row)}: random", f"{random['deletion']:.3f}", f"{random['insertion']:.3f}", "", ""])
        for name, areas in facts["areas"].items():
            gain = areas["gains"]["overall"]
            low, high = gain["interval"]
            lines.append(
                [
                    f"{describe(row)}: {METHODS[name]}{stage if name == 'gradcam' else ''}",
                    f"{areas['deletion']:.3f}", f"{areas['insertion']:.3f}",
                    f"{gain['gain']:+.3f} ({low:+.3f} to {high:+.3f})",
                    compare(facts, name),
                ]
            )  # fmt: skip
    # The baselines of one network's pictures are the same for every stage.
    lines = list({line[0]: line for line in lines}.values())
    headings = [
        "map", "deletion (less is better)", "insertion (more is better)", "better than random (95% interval)",
        "rank correlation",
    ]  # fmt: skip
    return table(headings, lines) if lines else MISSING
