"""How does a trained network name what is in pictures? Folded for speed, on a GPU where there is one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rapidnet.config import Weights
from rapidnet.data.transforms import ImageTransform
from rapidnet.evaluation.classification import Predict, build_predict
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.images import Source, load_image
from rapidnet.models import reparameterize
from rapidnet.runtimes.network import Array


@dataclass(frozen=True)
class TrainedPredictor:
    """A `Predictor` over a trained network."""

    classes: list[str]
    task: str
    transform: ImageTransform
    run: Predict

    def prepare(self, image: Source) -> Array:
        """The file of a photograph -> uint8 [3, S, S]; raises BadImageError."""
        return self.transform(load_image(image)).numpy()

    def predict(self, pixels: Array) -> Array:
        """uint8 RGB [B, 3, S, S] -> probabilities [B, num_classes]."""
        return self.run(torch.from_numpy(np.ascontiguousarray(pixels))).cpu().numpy()


def open_trained_predictor(run: str | Path, weights: Weights) -> TrainedPredictor:
    """Open a run folder or a checkpoint; raises UserError as `load_trained` does."""
    return build_trained_predictor(load_trained(run, weights))


def build_trained_predictor(trained: Trained) -> TrainedPredictor:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = reparameterize(trained.model).to(device).to(memory_format=torch.channels_last)
    predict = build_predict(model, trained.preprocessing, activate=trained.measure.activate)
    return TrainedPredictor(trained.classes, trained.task, trained.preprocessing, predict)
