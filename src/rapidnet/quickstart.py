"""Does it all work here? Train, evaluate, fold, prove, predict on the built-in data, and one page that shows it."""

import base64
import io
import shutil
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn

from rapidnet.config import AugmentConfig, EvaluateConfig, OptimizerConfig, QuickstartConfig, TrainConfig
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.environment import append_row, describe_environment, read_rows, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.evaluation.equality import Equality, compare
from rapidnet.evaluation.evaluate_trained import evaluate
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.pictures import draw_confusion, draw_curves, draw_examples, draw_reliability, save_figure
from rapidnet.evaluation.predict import Prediction, predict_files
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.evaluation.trained_predictor import build_trained_predictor
from rapidnet.models import reparameterize
from rapidnet.models.complexity import count_macs, count_parameters
from rapidnet.training.checkpoint import LAST
from rapidnet.training.train import run_train

MARKER = "quickstart.json"
"""Says that a folder is a quickstart's own and may be replaced by the next one."""
TOLERANCE = 1e-10
PROOF_IMAGES, EXAMPLES = 200, 28

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


@dataclass(frozen=True)
class Folding:
    """What folding did: facts of both forms, how equal they are, and what the check says of a broken one."""

    forms: list[dict[str, Any]]
    equality: Equality
    control: Equality


def run_quickstart(config: QuickstartConfig) -> int:
    """The quickstart command; prints the report's path."""
    console = Console()
    folder = prepare_folder(Path(config.output))
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
    folding = fold_and_prove(trained, console)
    console.rule("4 of 5  predict")
    examples = predict_examples(trained, folder / "pictures", console)
    console.rule("5 of 5  report")
    seconds = time.perf_counter() - started
    row = {
        "study": "quickstart", "model": recipe.model, "seed": config.seed, "epochs": recipe.epochs,
        "image_size": recipe.image_size, "seconds": round(seconds, 1),
        **{key: result[key] for key in ("images", "top1", "top1_interval", "top5", "ece", "macro_f1")},
        "folding": folding.equality.to_dict(), "environment": describe_environment(),
    }  # fmt: skip
    report = folder / "report.html"
    figures = {
        "curves": draw_curves(read_rows(folder / "run" / "metrics.jsonl")),
        "confusion": draw_confusion(result["confusion"], trained.classes),
        "reliability": draw_reliability(meter.reliability_bins(), result["ece"]),
        "examples": draw_predictions(examples),
    }
    save_figure(figures["examples"], folder / "examples.png")
    write_report(report, row, result, folding, figures, recipe)
    if config.results:
        append_row(config.results, row)
    console.print(f"{seconds / 60:.1f} minutes; open [bold]{report.resolve()}[/bold]", soft_wrap=True)
    return 0


def prepare_folder(folder: Path) -> Path:
    """An empty folder for this run; an earlier quickstart's is replaced, anything else is refused."""
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).is_file()):
            raise UserError(f"--output {folder} holds something that is not a quickstart; choose another folder")
        shutil.rmtree(folder)
    write_text_atomically(folder / MARKER, "{}\n")
    return folder


def fold_and_prove(trained: Trained, console: Console) -> Folding:
    """Fold the network, compare both forms in float64 on held-out scenes, and check that the comparison can fail.

    Raises:
        RuntimeError: the forms differ, or the comparison passes a network that was broken on purpose.
    """
    size = trained.preprocessing.image_size
    scenes = BuiltinScenes("val", PROOF_IMAGES, size)
    inputs = trained.preprocessing.normalize(torch.stack([image for image, _ in scenes])).double()
    # Folded in float64 too: folded weights rounded to float32 differ by that rounding.
    exact = deepcopy(trained.model).double()
    folded = reparameterize(exact)
    equality, control = compare(exact, folded, inputs), compare(exact, break_one_weight(folded), inputs)
    if not equality.holds(TOLERANCE) or control.holds(TOLERANCE):
        raise RuntimeError(f"folding is not exact here: {equality}; with one weight changed: {control}")
    forms = [describe_form(name, model, size) for name, model in (("trained", trained.model), ("folded", folded))]
    table = Table("", "trained", "folded")
    for key in ("modules", "BatchNorm layers", "parameters", "MACs"):
        table.add_row(key, *(f"{form[key]:,}" for form in forms))
    console.print(table)
    console.print(
        f"largest difference {equality.max_rel:.1e} relative on {equality.images} scenes in float64 "
        f"([green]equal[/green]: below {TOLERANCE:g}); with one weight changed by 1% it is {control.max_rel:.1e}"
    )
    return Folding(forms, equality, control)


def break_one_weight(model: nn.Module) -> nn.Module:
    """A copy with the largest weight of its first convolution changed by 1%: what the comparison must notice."""
    broken = deepcopy(model)
    weight = next(module.weight for module in broken.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        weight[np.unravel_index(int(weight.abs().argmax()), weight.shape)] *= 1.01
    return broken


def describe_form(name: str, model: nn.Module, size: int) -> dict[str, Any]:
    """Counts of one form of the network; leaf modules that do something, parameters, MACs at `size` pixels."""
    leaves = [m for m in model.modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    return {
        "form": name,
        "modules": len(leaves),
        "BatchNorm layers": sum(isinstance(module, nn.BatchNorm2d) for module in leaves),
        "parameters": count_parameters(model),
        "MACs": count_macs(model, (3, size, size)),
    }


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
    examples = [(prediction, labels[prediction.path]) for prediction in predict_files(predictor, sorted(labels), 3, 32)]
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


def write_report(
    path: Path,
    row: dict[str, Any],
    result: dict[str, Any],
    folding: Folding,
    figures: dict[str, Figure],
    recipe: TrainConfig,
) -> None:
    """One HTML file that needs nothing beside it."""
    environment = Environment(
        loader=PackageLoader("rapidnet", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("quickstart.html").render(
        row=row, result=result, folding=folding, tolerance=TOLERANCE, recipe=recipe,
        figures={name: _to_data_url(figure) for name, figure in figures.items()},
    )  # fmt: skip
    write_text_atomically(path, page)


def _to_data_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
