"""How does a trained detector or segmenter answer pictures? On a GPU where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rapidnet.config import DenseTask
from rapidnet.data.dense_truth import Pixels
from rapidnet.evaluation.dense import DensePredict, build_dense_predict
from rapidnet.evaluation.dense_predictor import Answer, Size
from rapidnet.evaluation.trained_dense import TrainedDense
from rapidnet.models import reparameterize


@dataclass(frozen=True)
class TrainedDensePredictor:
    """A `DensePredictor` over a trained network."""

    trained: TrainedDense
    run: DensePredict

    @property
    def task(self) -> DenseTask:
        return self.trained.network.task

    @property
    def classes(self) -> list[str]:
        return self.trained.classes

    @property
    def category_ids(self) -> list[int]:
        return self.trained.category_ids

    def prepare(self, pixels: Pixels) -> Tensor:
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        return self.trained.preprocessing.transform(image, {})[0]

    def answer(self, prepared: Sequence[Tensor], sizes: Sequence[Size]) -> list[Answer]:
        return [{key: value.numpy() for key, value in found.items()} for found in self.run(prepared, sizes)]


def build_trained_dense_predictor(trained: TrainedDense, fold: bool) -> TrainedDensePredictor:
    model = reparameterize(trained.model) if fold else trained.model
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").to(memory_format=torch.channels_last)
    return TrainedDensePredictor(trained, build_dense_predict(model, trained.preprocessing))
