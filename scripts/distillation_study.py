"""Does the teacher help? Measures runs trained alone and distilled, seed by seed, and draws the difference.

    python scripts/distillation_study.py --alone runs/alone_* --distilled runs/distilled_* --unseen 'ILSVRC2012_val_*' \
        --results results/distillation.jsonl --figure docs/images/distillation.png

Each run's last weights (not its best: that choice is made on the validation images) are measured on its own validation
images and on those of its data whose names fit --unseen, wherever they lie; training must have excluded these.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats

from rapidnet.config import TrainConfig
from rapidnet.data.folder import Split, read_split
from rapidnet.data.loading import BadSampleLog, EpochSampler, ImageFolder, build_loader
from rapidnet.data.transforms import Preprocessing
from rapidnet.environment import append_row, describe_environment
from rapidnet.evaluation.classification import Predict, build_predict, measure
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.pictures import save_figure
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.training.checkpoint import LAST
from rapidnet.training.resume import read_config
from rapidnet.training.teacher import Guide, build_teacher

SETS = ("validation", "unseen")


def open_sets(root: Path, unseen: str) -> dict[str, Split]:
    """The validation images without the unseen ones, and the unseen ones of train and val together."""
    parts = {name: read_split(root / name, name) for name in ("train", "val")}
    seen = replace(parts["val"], samples=[s for s in parts["val"].samples if not Path(s.path).match(unseen)])
    samples = [s for part in parts.values() for s in part.samples if Path(s.path).match(unseen)]
    return {"validation": seen, "unseen": replace(parts["val"], name="unseen", samples=samples)}


def count_right(predict: Predict, split: Split, preprocessing: Preprocessing) -> dict[str, Any]:
    dataset = ImageFolder(split, preprocessing, seed=0)
    meter = ClassificationMeter(split.classes)
    loader = build_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), 64, 0, train=False)
    measure(predict, loader, meter, BadSampleLog("error", None))
    result = meter.compute()
    return {name: result[name] for name in ("images", "top1", "top1_interval", "nll")}


def measure_run(folder: Path, kind: str, sets: dict[str, Split], unseen: str) -> list[dict[str, Any]]:
    config, trained = read_config(folder), load_trained(folder / LAST, "raw")
    if config.exclude != unseen or bool(config.distillation.teacher) != (kind == "distilled"):
        raise SystemExit(f"{folder} was not trained {kind} without {unseen}")
    predict = build_predict(trained.model, trained.preprocessing)
    trained_by = json.loads((folder / "environment.json").read_text())
    facts = {
        "study": "distillation", "network": kind, "seed": config.seed, "epochs": config.epochs,
        "image_size": config.image_size, "teacher": config.distillation.teacher, "trained_by": trained_by,
    }  # fmt: skip
    return [facts | {"set": name} | count_right(predict, sets[name], trained.preprocessing) for name in SETS]


def measure_teacher(config: TrainConfig, trained: Trained, sets: dict[str, Split]) -> list[dict[str, Any]]:
    """The teacher on what the student sees: the student's crops at the student's size."""
    guide = Guide(
        build_teacher(config.distillation, torch.device("cpu")), sets["validation"].classes, trained.preprocessing
    )

    def predict(images: torch.Tensor) -> torch.Tensor:
        return guide(trained.preprocessing.normalize(images)).softmax(1)

    facts = {
        "study": "distillation", "network": "teacher", "teacher": config.distillation.teacher,
        "image_size": guide.teacher.preprocessing.image_size,
    }  # fmt: skip
    return [facts | {"set": name} | count_right(predict, sets[name], trained.preprocessing) for name in SETS]


def compare(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Mean over the seeds with t intervals, and the mean paired difference with its."""
    scores = {
        kind: np.array([r["top1"] for r in sorted(rows, key=lambda r: r.get("seed", 0))
                        if r["network"] == kind and r["set"] == name])
        for kind in ("alone", "distilled")
    }  # fmt: skip
    columns = scores | {"difference": scores["distilled"] - scores["alone"]}
    row: dict[str, Any] = {"study": "distillation comparison", "set": name, "seeds": len(scores["alone"])}
    for kind, values in columns.items():
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
        row |= {kind: float(values.mean()), f"{kind}_interval": [values.mean() - half, values.mean() + half]}
    row["p"] = float(stats.ttest_rel(scores["distilled"], scores["alone"]).pvalue)
    row["images"] = next(r["images"] for r in rows if r["set"] == name)
    return row


def draw(rows: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> Figure:
    """A line for each seed from alone to distilled, with the means, for each set of images."""
    figure, panels = plt.subplots(1, len(comparisons), figsize=(9, 4.2), layout="constrained")
    for axes, facts in zip(panels, comparisons, strict=True):
        own = [row for row in rows if row["set"] == facts["set"]]
        for seed in sorted({row["seed"] for row in own if "seed" in row}):
            pair = [next(r["top1"] for r in own if r["network"] == k and r.get("seed") == seed) for k in KINDS]
            axes.plot(KINDS, pair, marker="o", color="tab:gray", alpha=0.7)
            axes.annotate(f"seed {seed}", (1, pair[1]), xytext=(8, -3), textcoords="offset points", fontsize=8)
        means = [facts[kind] for kind in KINDS]
        halves = [facts[kind] - facts[f"{kind}_interval"][0] for kind in KINDS]
        axes.errorbar(KINDS, means, halves, marker="D", capsize=6, linewidth=2, label="mean, 95% t interval")
        low, high = facts["difference_interval"]
        difference = f"difference {facts['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
        axes.set_title(f"{facts['set']}, {facts['images']} images\n{difference}", fontsize=10)
        axes.set_ylabel("top-1, %")
        axes.margins(x=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize=8)
    return figure


KINDS = ("alone", "distilled")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", nargs="+", type=Path, required=True)
    parser.add_argument("--distilled", nargs="+", type=Path, required=True)
    parser.add_argument("--unseen", required=True)
    parser.add_argument("--results", default="")
    parser.add_argument("--figure", default="")
    args = parser.parse_args()
    sets = open_sets(Path(read_config(args.alone[0]).data), args.unseen)
    rows = [r for kind in KINDS for f in getattr(args, kind) for r in measure_run(f, kind, sets, args.unseen)]
    seeds = [sorted(r["seed"] for r in rows if r["network"] == kind and r["set"] == "unseen") for kind in KINDS]
    if seeds[0] != seeds[1] or len(seeds[0]) < 2:
        raise SystemExit(f"the seeds must pair, at least two: alone {seeds[0]}, distilled {seeds[1]}")
    rows += measure_teacher(read_config(args.distilled[0]), load_trained(args.distilled[0]), sets)
    comparisons = [compare(rows, name) for name in SETS]
    environment = describe_environment() | {
        "command": " ".join(["python", "scripts/distillation_study.py", *sys.argv[1:]])
    }
    for row in rows + comparisons:
        print({key: value for key, value in row.items() if key not in ("trained_by",)})
        if args.results:
            append_row(args.results, row | {"environment": environment})
    if args.figure:
        save_figure(draw(rows, comparisons), Path(args.figure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
