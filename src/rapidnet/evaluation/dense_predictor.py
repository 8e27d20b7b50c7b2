"""What finds the objects or names the pixels of a picture: a trained network, or an exported one without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from rapidnet.config import DenseTask, Weights
from rapidnet.data.dense_truth import Pixels
from rapidnet.runtimes.bundle import Bundle
from rapidnet.runtimes.network import Array

Size = tuple[int, int]
Answer = dict[str, Array]
"""What is found in a picture, in pixels of its file: boxes [N, 4] as (left, top, right, bottom), scores [N], labels [N]
from 0 on and perhaps masks bool [N, H, W]; or semantic, uint8 [H, W]."""
DENSE_TASKS = get_args(DenseTask)


class DensePredictor(Protocol):
    """Answers pictures; classes and their numbers in annotations, of which there may be none, as trained."""

    @property
    def task(self) -> DenseTask: ...

    @property
    def classes(self) -> list[str]: ...

    @property
    def category_ids(self) -> list[int]: ...

    def prepare(self, pixels: Pixels) -> Any:
        """RGB uint8 [H, W, 3] -> what `answer` takes; several threads may call it at once."""

    def answer(self, prepared: Sequence[Any], sizes: Sequence[Size]) -> list[Answer]:
        """The answers for pictures whose files have these (height, width)."""


class AnsweringBundle(Protocol):
    """What is needed of an exported bundle."""

    @property
    def card(self) -> dict[str, Any]: ...

    def answer(self, image: Any) -> Answer:
        """RGB uint8 [H, W, 3] -> its answer."""


@dataclass(frozen=True)
class BundlePredictor:
    """A `DensePredictor` over an exported bundle, which takes one picture at a time and prepares it itself."""

    bundle: AnsweringBundle

    @property
    def task(self) -> DenseTask:
        task: DenseTask = self.bundle.card["task"]
        return task

    @property
    def classes(self) -> list[str]:
        return list(self.bundle.card["classes"])

    @property
    def category_ids(self) -> list[int]:
        return list(self.bundle.card["category_ids"])

    def prepare(self, pixels: Pixels) -> Pixels:
        return pixels

    def answer(self, prepared: Sequence[Pixels], sizes: Sequence[Size]) -> list[Answer]:
        return [self.bundle.answer(pixels) for pixels in prepared]


def wrap_bundle(bundle: Bundle) -> BundlePredictor:
    """The bundle of a detector or segmenter as a predictor."""
    answering: Any = bundle
    return BundlePredictor(answering)


def is_dense(opened: Bundle | str) -> bool:
    """Whether a bundle, or the run folder or checkpoint named, holds a detector or segmenter; raises UserError as
    opening that."""
    if isinstance(opened, Bundle):
        return opened.task in DENSE_TASKS
    from rapidnet.evaluation.trained_dense import is_trained_dense

    return is_trained_dense(opened)


def open_dense_predictor(opened: Bundle | str, weights: Weights) -> DensePredictor:
    """A bundle, or the run folder or checkpoint named, folded for speed; raises UserError as opening that."""
    if isinstance(opened, Bundle):
        return wrap_bundle(opened)
    from rapidnet.evaluation.trained_dense import load_trained_dense
    from rapidnet.evaluation.trained_dense_predictor import build_trained_dense_predictor

    return build_trained_dense_predictor(load_trained_dense(opened, weights), fold=True)
