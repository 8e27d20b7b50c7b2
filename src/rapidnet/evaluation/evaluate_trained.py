"""How good is a trained network on labelled images?"""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from rapidnet.config import EvaluateConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.loading import EpochSampler, ImageFolder, SizedDataset, build_loader
from rapidnet.evaluation.classification import Meter, Predict, build_predict, measure
from rapidnet.evaluation.images import BATCH, open_images
from rapidnet.evaluation.trained import Trained
from rapidnet.models import reparameterize


def evaluate(trained: Trained, config: EvaluateConfig, folder: Path, console: Console) -> tuple[dict[str, Any], Meter]:
    """The row of results (percent) and the meter it comes from, in float32.

    Raises:
        UserError: data that does not fit, no images, an unreadable one under the policy 'error'.
    """
    dataset = open_data(trained, config.data, config.labels)
    loader = build_loader(
        dataset, EpochSampler(len(dataset), 0, shuffle=False), config.batch_size or BATCH, 0, train=False
    )
    meter = trained.measure.build_meter(trained.classes)
    bad_samples = BadSampleLog(config.bad_samples, folder / "quarantine.txt")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=len(dataset))
        predict = run_network(trained, config.fold)
        measure(predict, loader, meter, bad_samples, lambda images: bar.advance(task, images))
    row = {
        "checkpoint": str(trained.path),
        "model": trained.metadata["model"],
        "data": config.data or trained.metadata["data"]["root"],
        "weights": trained.weights,
        "folded": config.fold,
        "runtime": f"torch {torch.__version__}",
        "image_size": trained.preprocessing.image_size,
        "bad_samples": len(bad_samples.paths),
    }
    return row | meter.compute(), meter


def run_network(trained: Trained, fold: bool) -> Predict:
    model = reparameterize(trained.model) if fold else trained.model
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    return build_predict(model, trained.preprocessing, activate=trained.measure.activate)


def open_data(trained: Trained, data: str, labels: str = "") -> SizedDataset:
    """The images of `data` (with `labels`, for several an image), or the run's own validation images if it is empty."""
    size = trained.preprocessing.image_size
    found = open_images(str(trained.path), trained.classes, trained.task, trained.metadata["data"], size, data, labels)
    return found if isinstance(found, BuiltinScenes) else ImageFolder(found, trained.preprocessing, seed=0)
