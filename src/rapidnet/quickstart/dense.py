"""Does it all work here for a detector or a segmenter? Train, evaluate, fold, prove, predict, and one page of it."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from rapidnet.config import DenseConfig, EvaluateConfig, OptimizerConfig, PredictConfig, QuickstartConfig, TrainConfig
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.environment import append_row, describe_environment, read_rows
from rapidnet.evaluation.evaluate_dense import evaluate_dense, open_trained
from rapidnet.evaluation.measures import MEASURES
from rapidnet.evaluation.pictures import draw_curves, save_figure
from rapidnet.evaluation.predict import run_predict
from rapidnet.evaluation.trained_dense import TrainedDense, load_trained_dense
from rapidnet.quickstart.proof import PROOF_IMAGES, TOLERANCE, View, prove_folding
from rapidnet.quickstart.report import write_report
from rapidnet.training.checkpoint import LAST
from rapidnet.training.train import run_train

EXAMPLES = 12
COMMON: dict[str, Any] = {
    "data": "builtin", "model": "rapidnet_ti", "model_options": {"layer_scale_init": 1e-5}, "image_size": 128,
    "ema_decay": 0.0,
}  # fmt: skip
RECIPES = {
    "detect": TrainConfig(
        task="detect", epochs=7, train_length=5000, batch_size=32,
        optimizer=OptimizerConfig(name="muon", lr=3e-3, warmup_epochs=0.3, weight_decay=0.05), **COMMON,
    ),
    # Half the paper's width: its head costs more than Ti itself. No dropout: no scene comes twice.
    "semantic": TrainConfig(
        task="semantic", epochs=6, train_length=8000, batch_size=16, evaluate_every=6,
        optimizer=OptimizerConfig(
            name="muon", lr=3e-3, warmup_epochs=0.3, weight_decay=0.05,
            options={"nesterov": True, "fallback_lr_scale": 3.0},
        ),
        dense=DenseConfig(options={"pyramid_channels": 128, "head_channels": 64, "drop_rate": 0.0}), **COMMON,
    ),
}  # fmt: skip
"""What is trained: fresh scenes in every epoch, so there is nothing to memorise and nothing to augment."""


class RawAnswers(nn.Module):
    """A one-stage detector before any box is chosen: normalised [B, 3, H, W] -> [B, num_classes + 5, all points]."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head
        self.train(detector.training)

    def forward(self, images: Tensor) -> Tensor:
        answers = self.head(list(self.backbone(images).values()))  # type: ignore[operator]
        parts = ("cls_logits", "bbox_regression", "bbox_ctrness")
        return torch.cat([answers[part] for part in parts], dim=2).transpose(1, 2)


VIEWS: dict[str, View] = {"detect": RawAnswers, "semantic": lambda model: model}
SAID = {
    "detect": {"compared": "all scores and boxes", "same": "same strongest answer at every point"},
    "semantic": {"compared": "logits", "same": "same class named at every pixel"},
}


def run_dense(config: QuickstartConfig, folder: Path, console: Console) -> int:
    """The quickstart of `--task detect` or `semantic` in an empty folder; returns the exit code."""
    started = time.perf_counter()
    task = config.task
    epochs = config.epochs or RECIPES[task].epochs
    recipe = replace(RECIPES[task], output=str(folder / "run"), seed=config.seed, epochs=epochs)
    console.rule("1 of 5  train")
    if exit_code := run_train(recipe, console):
        return exit_code
    console.rule("2 of 5  evaluate")
    # The last epoch, not the best one: that was chosen on the scenes that are measured here.
    checkpoint = folder / "run" / LAST
    measured = EvaluateConfig(run=str(checkpoint), batch_size=recipe.batch_size)
    subject, _ = open_trained(measured)
    result, meter, _ = evaluate_dense(subject, measured, folder, console)
    measure = MEASURES[task]
    console.print(f"{measure.summarize(result)} on {result['images']} scenes of held-out digits")
    console.rule("3 of 5  fold and prove")
    trained = load_trained_dense(checkpoint)
    folding = prove_folding(trained.model, load_inputs(trained), console, VIEWS[task])
    console.rule("4 of 5  predict")
    predict_examples(trained, checkpoint, folder, console)
    console.rule("5 of 5  report")
    seconds = time.perf_counter() - started
    row = {
        "study": "quickstart", "task": task, "head": trained.network.head, "model": recipe.model, "seed": config.seed,
        "epochs": recipe.epochs, "image_size": recipe.image_size, "seconds": round(seconds, 1),
        **{key: result[key] for key in measure.columns}, "folding": folding.equality.to_dict(),
        "environment": describe_environment(),
    }  # fmt: skip
    curves = draw_curves(read_rows(folder / "run" / "metrics.jsonl"), measure.score, measure.label, measure.train_score)
    name, draw = measure.pictures[0]
    judged = draw(meter, result)
    save_figure(judged, folder / name)
    with Image.open(folder / "examples.png") as examples:
        figures: dict[str, Figure | Image.Image] = {
            "curves": curves,
            "judged": judged,
            "examples": examples.convert("RGB"),
        }
    report = folder / "report.html"
    write_report(
        report, "dense.html", figures, row=row, result=result, folding=folding, tolerance=TOLERANCE, recipe=recipe,
        summary=measure.summarize(result), score=result[KEY_SCORES[task][0]], score_name=KEY_SCORES[task][1],
        **SAID[task],
    )  # fmt: skip
    if config.results:
        append_row(config.results, row)
    console.print(f"{seconds / 60:.1f} minutes; open [bold]{report.resolve()}[/bold]", soft_wrap=True)
    return 0


KEY_SCORES = {"detect": ("box_ap50", "box AP50"), "semantic": ("miou", "mIoU")}
"""The result that the page leads with, and its name."""


def load_inputs(trained: TrainedDense) -> Tensor:
    """Normalised held-out scenes, [N, 3, S, S]."""
    size = trained.preprocessing.short_side
    scenes = BuiltinObjects("val", PROOF_IMAGES, size, trained.network.task)
    return trained.preprocessing.normalize(torch.stack([scenes.load(index)[0] for index in range(len(scenes))]))


def predict_examples(trained: TrainedDense, checkpoint: Path, folder: Path, console: Console) -> None:
    """Write held-out scenes as pictures and let the predict command answer them from their files."""
    pictures = folder / "pictures"
    pictures.mkdir()
    scenes = BuiltinObjects("val", PROOF_IMAGES, trained.preprocessing.short_side, trained.network.task)
    for index in range(0, EXAMPLES * 7, 7):
        Image.fromarray(scenes.scene(index).image).save(pictures / f"scene_{index:03d}.png")
    run_predict(PredictConfig(str(checkpoint), str(pictures), save=str(folder / "predicted")))
    console.print(f"try: rapidnet predict {folder / 'run'} {pictures} --save somewhere", soft_wrap=True)
