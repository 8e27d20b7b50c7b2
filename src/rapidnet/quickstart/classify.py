"""Does it all work here for a classifier? Train, evaluate, fold, prove, predict, and one page that shows it."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from rapidnet.config import AugmentConfig, EvaluateConfig, OptimizerConfig, QuickstartConfig, TrainConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.environment import append_row, describe_environment, read_rows
from rapidnet.evaluation.evaluate_trained import evaluate
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.pictures import draw_confusion, draw_curves, draw_examples, draw_reliability, save_figure
from rapidnet.evaluation.predict import Prediction, predict_files
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.evaluation.trained_predictor import build_trained_predictor
from rapidnet.quickstart.proof import PROOF_IMAGES, TOLERANCE, prove_folding
from rapidnet.quickstart.report import write_report
from rapidnet.training.checkpoint import LAST
from rapidnet.training.train import run_train

EXAMPLES = 28

RECIPE = TrainConfig(
    data="builtin",
    model="rapidnet_ti",
    model_options={"layer_scale_init": 1e-5},
    epochs=5,
    image_size=64,
    batch_size=128,
    train_length=12_000,
    ema_decay=0.0,
    optimizer=OptimizerConfig(name="muon", lr=3e-3, warmup_epochs=0.3, weight_decay=0.05),
    augment=AugmentConfig(label_smoothing=0.05),
)
"""What the quickstart trains: fresh scenes in every epoch, so there is nothing to memorise and little to augment."""


def run_classify(config: QuickstartConfig, folder: Path, console: Console) -> int:
    """The quickstart of `--task classify` in an empty folder; returns the exit code."""
    started = time.perf_counter()
    recipe = replace(RECIPE, output=str(folder / "run"), seed=config.seed, epochs=config.epochs or RECIPE.epochs)
    console.rule("1 of 5  train")
    exit_code = run_train(recipe, console)
    if exit_code:
        return exit_code
    console.rule("2 of 5  evaluate")
    # The last epoch, not the best one: that was chosen on the scenes that are measured here.
    trained = load_trained(folder / "run" / LAST)
    result, meter = evaluate(trained, EvaluateConfig(run=str(folder / "run")), folder, console)
    assert isinstance(meter, ClassificationMeter)
    low, high = result["top1_interval"]
    console.print(f"top-1 [bold]{result['top1']:.2f}%[/bold] (95% interval {low:.2f} to {high:.2f}) on held-out digits")
    console.rule("3 of 5  fold and prove")
    scenes = BuiltinScenes("val", PROOF_IMAGES, trained.preprocessing.image_size)
    inputs = trained.preprocessing.normalize(torch.stack([image for image, _ in scenes]))
    folding = prove_folding(trained.model, inputs, console)
    console.rule("4 of 5  predict")
    examples = predict_examples(trained, folder / "pictures", console)
    console.rule("5 of 5  report")
    seconds = time.perf_counter() - started
    row = {
        "study": "quickstart", "task": "classify", "model": recipe.model, "seed": config.seed, "epochs": recipe.epochs,
        "image_size": recipe.image_size, "seconds": round(seconds, 1),
        **{key: result[key] for key in ("images", "top1", "top1_interval", "top5", "ece", "macro_f1")},
        "folding": folding.equality.to_dict(), "environment": describe_environment(),
    }  # fmt: skip
    report = folder / "report.html"
    examples_figure = draw_predictions(examples)
    figures: dict[str, Figure | Image.Image] = {
        "curves": draw_curves(read_rows(folder / "run" / "metrics.jsonl")),
        "confusion": draw_confusion(result["confusion"], trained.classes),
        "reliability": draw_reliability(meter.reliability_bins(), result["ece"]),
        "examples": examples_figure,
    }
    save_figure(examples_figure, folder / "examples.png")
    write_report(
        report, "classify.html", figures, row=row, result=result, folding=folding, tolerance=TOLERANCE, recipe=recipe
    )
    if config.results:
        append_row(config.results, row)
    console.print(f"{seconds / 60:.1f} minutes; open [bold]{report.resolve()}[/bold]", soft_wrap=True)
    return 0


def predict_examples(trained: Trained, folder: Path, console: Console) -> list[tuple[Prediction, str]]:
    """Write held-out scenes as pictures, predict them from their files; each with its true class."""
    scenes = BuiltinScenes("val", PROOF_IMAGES, trained.preprocessing.image_size)
    folder.mkdir(parents=True)
    labels = {}
    # A stride that shares no factor with ten takes every class.
    for index in range(0, EXAMPLES * 7, 7):
        scene = scenes.scene(index)
        path = folder / f"scene_{index:03d}.png"
        Image.fromarray(scene.image).save(path)
        labels[path] = scenes.classes[int(scene.labels[0])]
    predictor = build_trained_predictor(trained)
    predictions = predict_files(predictor, sorted(labels), 3, 32)
    examples = [(prediction, labels[Path(prediction.path)]) for prediction in predictions]
    right = sum(prediction.answers[0][0] == label for prediction, label in examples)
    console.print(
        f"{right} of {len(examples)} pictures named right; try: rapidnet predict {folder.parent / 'run'} {folder}"
    )
    return examples


def draw_predictions(examples: list[tuple[Prediction, str]]) -> Figure:
    """The pictures under what the network says, green where it is right."""
    images, titles, colours = [], [], []
    for prediction, label in examples:
        name, probability = prediction.answers[0]
        with Image.open(prediction.path) as image:
            images.append(np.array(image))
        titles.append(f"{name}  {100 * probability:.0f} %" + ("" if name == label else f"\ntruth: {label}"))
        colours.append("#1a7f37" if name == label else "#cf222e")
    return draw_examples(images, titles, colours)
