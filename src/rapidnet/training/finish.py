"""What does a finished run leave? Pictures of it, and a copy that timm and the hub open."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from timm.models import save_for_hf
from torch import nn

from rapidnet.config import Weights
from rapidnet.environment import append_row, read_rows
from rapidnet.evaluation.pictures import draw_curves, save_figure
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.evaluation.trained_dense import TrainedDense, is_trained_dense, load_trained_dense
from rapidnet.training.checkpoint import BEST, LAST
from rapidnet.training.loop import evaluate_network
from rapidnet.training.run import Run


def finish(run: Run, console: Console) -> None:
    """Curves, the task's picture of the best weights, and a copy that timm and the hub open."""
    # The other processes read what the first one wrote.
    run.ranks.wait()
    trained = load_any(run.folder)
    trained.model.to(run.fabric.device)
    measure, meter = run.measure, evaluate_network(run, trained.model)
    result = meter.compute()
    row = describe_result(run) if run.config.results else {}
    if not run.ranks.is_first:
        return
    rows = read_rows(run.folder / "metrics.jsonl")
    save_figure(draw_curves(rows, measure.score, measure.label, measure.train_score), run.folder / "curves.png")
    name, draw = measure.pictures[0]
    save_figure(draw(meter, result), run.folder / name)
    if run.config.task == "classify":
        save_hub_copy(trained.model, run)
    if run.bad_samples.paths:
        console.print(f"{len(run.bad_samples.paths)} unreadable images were left out")
    console.print(
        f"best epoch {run.progress.best_epoch}: {measure.summarize(result)} on {result['images']} images; "
        f"{run.folder / BEST}"
    )
    if row:
        append_row(run.config.results, row)


def load_any(run: str | Path, weights: Weights = "best") -> Trained | TrainedDense:
    """A run's network, whatever its task."""
    return load_trained_dense(run, weights) if is_trained_dense(run) else load_trained(run, weights)


def describe_result(run: Run) -> dict[str, Any]:
    """A row for --results: the weights of the last epoch, averaged if the run averages.

    Not those of the best epoch: choosing it on the validation images and reporting on the same ones flatters.
    """
    last = load_any(run.folder / LAST, "ema")
    last.model.to(run.fabric.device)
    result = evaluate_network(run, last.model).compute()
    seconds = sum(row["seconds"] for row in read_rows(run.folder / "metrics.jsonl"))
    config = run.config
    return {
        "study": "train", "task": run.task.name, "model": config.model, "data": config.data, "holdout": config.holdout,
        "exclude": config.exclude, "labels": config.labels, "group_regex": config.group_regex,
        "balance": config.balance, "seed": config.seed,
        "epochs": config.epochs, "image_size": config.image_size, "weights": last.weights,
        **{key: result[key] for key in run.measure.columns},
        "train_seconds": round(seconds, 1), "config": asdict(config),
        "environment": json.loads((run.folder / "environment.json").read_text()),
    }  # fmt: skip


def save_hub_copy(model: nn.Module, run: Run) -> None:
    """Write hub/, which timm opens as `local-dir:RUN/hub` once rapidnet is imported."""
    config = {"label_names": run.classes}
    save_for_hf(
        model,
        str(run.folder / "hub"),
        model_config=config,
        model_args=run.config.model_options or None,
        safe_serialization=True,
    )
