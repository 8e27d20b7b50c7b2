"""What do README and docs say in their tables? What the rows in results/ say: written between markers, or checked.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a key of TABLES.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablation_tables import ablations
from aims_table import aims
from bench_tables import activations, bench_peers, bench_scaling, speed_attempts
from browser_tables import browser
from bulk_tables import bulk, bulk_listing
from dense_tables import camvid, export_dense, quickstart_dense
from explain_tables import explain_branches, explain_fields, explain_maps
from forms_table import forms
from latency_tables import bench, bench_family, bench_profile, bench_ratios, bench_repeats
from markdown_table import table
from robustness_tables import attacks, calibration, corruptions, robustness, sanity
from serving_tables import serving_attack, serving_load, serving_soak

from rapidnet.environment import read_rows

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What others report: accuracy of the paper (arXiv 2412.10995) on ImageNet-1K, and Imagenette's public leaderboard for
# training from random weights at 128 px, held by other networks of other sizes.
PAPER_TOP1 = {"rapidnet_ti": "76.3"}
LEADERBOARD = {5: 87.43, 20: 91.57}


def interval(row: dict[str, Any], name: str = "top1") -> str:
    low, high = row[f"{name}_interval"]
    return f"{row[name]:.2f} ({low:.2f} to {high:.2f})"


def family() -> str:
    rows = {row["model"]: row for row in read_rows(ROOT / "results" / "complexity.jsonl")}
    return table(
        ["network", "parameters, trained (M)", "folded (M)", "GMACs at 224 px", "ImageNet-1K top-1, paper"],
        [
            [name, f"{row['trained']['params_m']:.2f}", f"{row['folded']['params_m']:.2f}",
             f"{row['trained']['gmacs']:.3f}", PAPER_TOP1.get(name, "see paper")]
            for name, row in rows.items()
        ],
    )  # fmt: skip


def quickstart() -> str:
    rows = [
        row for row in read_rows(ROOT / "results" / "quickstart.jsonl") if row.get("task", "classify") == "classify"
    ]
    return table(
        ["seed", "top-1 on held-out scenes, % (95% interval)", "calibration error, %", "minutes", "CPU cores"],
        [
            [str(row["seed"]), interval(row), f"{row['ece']:.2f}", f"{row['seconds'] / 60:.1f}",
             str(row["environment"]["cpu_count"])]
            for row in sorted(rows, key=lambda row: row["seed"])
        ],
    )  # fmt: skip


def imagenette() -> str:
    rows = [row for row in read_rows(ROOT / "results" / "imagenette.jsonl") if not row["holdout"]]
    return table(
        ["epochs", "RapidNet-Ti, top-1 % (95% interval)", "public leaderboard, other networks", "minutes", "CPU cores"],
        [
            [str(row["epochs"]), interval(row), f"{LEADERBOARD[row['epochs']]:.2f}",
             f"{row['train_seconds'] / 60:.0f}", str(row["environment"]["cpu_count"])]
            for row in sorted(rows, key=lambda row: row["epochs"])
        ],
    )  # fmt: skip


def throughput() -> str:
    path = ROOT / "results" / "throughput.jsonl"
    rows = read_rows(path) if path.exists() else []
    if not rows:
        return "Not measured yet."
    studies = {"end_to_end": "training, end to end", "data_pipeline": "data alone, one core"}
    ordered = sorted(rows, key=lambda row: (list(studies).index(row["study"]), row["data"]))
    rates = table(
        ["measured", "photographs", "threads", "plain, images/s", "here, images/s", "ratio (95% interval)"],
        [
            [studies[row["study"]], row["data"], str(row["threads"]), f"{row['plain']['images_per_s']:.1f}",
             f"{row['ours']['images_per_s']:.1f}", interval(row, "ratio")]
            for row in ordered
        ],
    )  # fmt: skip
    with_parts = [row for row in ordered if row["parts_ms"]]
    parts = table(
        ["CPU time of an image, ms", *(f"{row['data']}, {side}" for row in with_parts for side in ("plain", "here"))],
        [
            [part, *(f"{row['parts_ms'][side][part]:.2f}" for row in with_parts for side in ("plain", "ours"))]
            for part in (with_parts[0]["parts_ms"]["plain"] if with_parts else [])
        ],
    )
    return f"{rates}\n\n{parts}" if with_parts else rates


def distillation() -> str:
    path = ROOT / "results" / "distillation.jsonl"
    rows = read_rows(path) if path.exists() else []
    measured = [row for row in rows if row["study"] == "distillation"]
    comparisons = [row for row in rows if row["study"] == "distillation comparison"]
    if not comparisons:
        return "Not measured yet."
    seeds = sorted({row["seed"] for row in measured if "seed" in row})
    lines = []
    for kind in ("alone", "distilled", "teacher"):
        for facts in comparisons:
            own = [row for row in measured if row["network"] == kind and row["set"] == facts["set"]]
            scores = [f"{row['top1']:.2f}" for row in sorted(own, key=lambda row: row.get("seed", 0))]
            # The teacher is one network.
            cells = scores if kind != "teacher" else ["", *scores, *[""] * (len(seeds) - 2)]
            mean = interval(facts, kind) if kind != "teacher" else ""
            lines.append([kind, f"{facts['set']}, {facts['images']}", *cells, mean])
    for facts in comparisons:
        low, high = facts["difference_interval"]
        pairs = [""] * len(seeds)
        said = f"{facts['difference']:+.2f} ({low:+.2f} to {high:+.2f}), p = {facts['p']:.3f}"
        lines.append(["distilled - alone", f"{facts['set']}, {facts['images']}", *pairs, said])
    headings = ["network", "images", *(f"seed {seed}, top-1 %" for seed in seeds), "mean (95% t interval)"]
    return table(headings, lines)


def crash_safety() -> str:
    path = ROOT / "results" / "crash_safety.jsonl"
    rows = {row["trial"]: row for row in (read_rows(path) if path.exists() else [])}
    if not rows:
        return "Not measured yet."
    kill, full, cut = rows["kill"], rows["full disk"], rows["truncation"]
    return table(
        ["trial", "how often", "outcome"],
        [
            ["SIGKILL at a random moment of training", str(kill["kills"]),
             f"{kill['without_valid_checkpoint']} times without a valid checkpoint (in "
             f"{kill['before_the_first_checkpoint']} the first had not been due yet; "
             f"{kill['moments']['writing a checkpoint']} hit a checkpoint being written)"],
            ["runs that went on after these kills to their end", str(kill["runs_finished"]),
             f"{kill['runs_equal_to_the_last_bit']} equal to the undisturbed run to the last bit"],
            ["checkpoint cut short by a limit on file size, for a full disk", str(full["trials"]),
             f"{full['refused_in_one_sentence']} ended in one sentence, {full['previous_intact']} left the checkpoint "
             f"before intact, {full['runs_equal_to_the_last_bit']} went on to the same last bit"],
            ["last checkpoint cut at every 4 KiB", str(cut["truncated"]), f"{cut['truncated_refused']} refused"],
            ["one bit flipped in every 4 KiB", str(cut["flipped"]),
             f"{cut['flipped_refused']} refused; the run went back to the checkpoint before in "
             f"{cut['fell_back']} of {cut['truncated'] + cut['flipped']}"],
        ],
    )  # fmt: skip


FORMATS = ("onnx", "openvino", "executorch", "coreml", "litert", "ncnn", "torch")


def exports() -> str:
    """The last row of each (network, format, precision)."""
    rows = {(r["precision"], r["model"], r["format"]): r for r in read_rows(ROOT / "results" / "export.jsonl")}
    order = ("fp32", "fp16", "int8")
    keys = sorted(rows, key=lambda key: (order.index(key[0]), "ti s m b".index(key[1][-1]), FORMATS.index(key[2])))
    lines = []
    for key in keys:
        row = rows[key]
        kept = f"{len(row['kept_float'])}" if row["precision"] == "int8" else ""
        low, high = row["artifact_interval"]
        top1 = f"{row['artifact']:.2f} ({low:.1f} to {high:.1f}) / {row['network']:.2f}"
        caught = [value for value in row["controls"].values() if value is not None]
        lines.append([
            row["model"], row["format"], row["precision"], row["verdict"], f"{row['sqnr_db']:.1f}",
            str(row["images"]), f"{row['agreement']:.2f}", top1, kept, f"{sum(caught)} of {len(caught)}",
            f"{row['megabytes']:.1f}", f"{row['convert_seconds']:.0f} + {row['check_seconds']:.0f}",
        ])  # fmt: skip
    headings = ["network", "format", "precision", "verdict", "SQNR, dB", "images", "same first answer, %",
                "top-1 %, artifact (95% interval) / network", "layers in float", "mistakes noticed", "MB",
                "seconds, to convert + to check"]  # fmt: skip
    return table(headings, lines)


def int8() -> str:
    """The last row of each (trained, runtime, precision, activation)."""
    path = ROOT / "results" / "int8.jsonl"
    found = [row for row in (read_rows(path) if path.exists() else []) if row["study"] == "int8_activation"]
    rows = {(row["runtime"], not row["trained"], row["precision"], row["act_layer"]): row for row in found}

    def ratio(row: dict[str, Any], name: str) -> str:
        return f"{row[name]['ratio']:.2f} ({row[name]['low']:.2f} to {row[name]['high']:.2f})"

    return table(
        ["runtime", "weights", "int8, GELU, ms", "int8, ReLU, ms", "fp32, GELU, ms", "int8: GELU / ReLU",
         "GELU: int8 / fp32", "forms of GELU"],
        [
            [runtime, "random" if random else "trained",
             *(f"{rows[runtime, random, *kind]['latency_ms_p50']:.2f}"
               for kind in (("int8", "gelu"), ("int8", "relu"), ("fp32", "gelu"))),
             ratio(row, "against_int8_relu"), ratio(row, "against_fp32"),
             ", ".join(f"{n} {form}" for form, n in row["card"].get("gelu_forms", {}).items()) or "the runtime's"]
            for (runtime, random, precision, act_layer), row in sorted(
                rows.items(), key=lambda item: (FORMATS.index(item[0][0]), item[0][1]))
            if (precision, act_layer) == ("int8", "gelu")
        ],
    )  # fmt: skip


def xnnpack() -> str:
    """Milliseconds by operator, of the last row of each (precision, form)."""
    path = ROOT / "results" / "int8.jsonl"
    found = [row for row in (read_rows(path) if path.exists() else []) if row["study"] == "xnnpack_profile"]
    rows = {(row["precision"], row["depthwise_7x7"]): row for row in found}
    columns = [
        key for key in (("fp32", "whole"), ("fp32", "pieces"), ("int8", "whole"), ("int8", "pieces")) if key in rows
    ]
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for key in columns:
        for item in rows[key]["operators"]:
            # The number formats are in the heading.
            name = re.sub(r"(NHWC|NC|ND), [A-Z0-9, ]+", r"\1", item["operator"]).replace(" Reduce2", "")
            cells.setdefault(name, {})[key] = f"{item['ms']:.2f} ({item['calls']})"
    lines = [[name, *(found.get(key, "") for key in columns)] for name, found in cells.items()]
    lines.append(["all", *(f"{rows[key]['ms']:.2f}" for key in columns)])
    return table(["operator: ms (calls)", *(f"{precision}, 7x7 {form}" for precision, form in columns)], lines)


TABLES: dict[str, Callable[[], str]] = {
    "family": family, "quickstart_dense": quickstart_dense, "camvid": camvid, "export_dense": export_dense,
    "quickstart": quickstart, "imagenette": imagenette, "throughput": throughput,
    "distillation": distillation, "crash_safety": crash_safety, "exports": exports,
    "int8": int8, "xnnpack": xnnpack, "bench": bench, "bench_ratios": bench_ratios, "bench_repeats": bench_repeats,
    "bench_profile": bench_profile, "bench_scaling": bench_scaling, "bench_peers": bench_peers,
    "speed_attempts": speed_attempts, "activations": activations, "bench_family": bench_family, "aims": aims,
    "corruptions": corruptions, "robustness": robustness, "calibration": calibration, "attacks": attacks,
    "sanity": sanity,
    "ablations": ablations, "forms": forms, "explain_fields": explain_fields, "explain_branches": explain_branches,
    "explain_maps": explain_maps, "serving_load": serving_load, "serving_soak": serving_soak,
    "serving_attack": serving_attack, "browser": browser, "bulk": bulk, "bulk_listing": bulk_listing,
}  # fmt: skip


def render(text: str) -> str:
    for name, build in TABLES.items():
        start, end = f"<!-- table: {name} -->", "<!-- end -->"
        if start in text:
            before, rest = text.split(start, 1)
            text = f"{before}{start}\n{build()}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> int:
    stale = [page for page in PAGES if render(page.read_text()) != page.read_text()]
    for page in stale:
        if "--check" in sys.argv:
            print(f"{page.name} does not say what results/ says; run make tables")
        else:
            page.write_text(render(page.read_text()))
            print(f"wrote {page.name}")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
