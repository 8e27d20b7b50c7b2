"""How do pictures become rows, whatever network answers them? Batches are cut the same way wherever it happens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rapidnet.bulk.columns import DESCRIBE_DENSE, DESCRIBE_NAMED, Row, shorten_error
from rapidnet.config import Weights
from rapidnet.evaluation.dense_predictor import DensePredictor, is_dense, open_dense_predictor
from rapidnet.evaluation.predict import Predictor, predict_files
from rapidnet.evaluation.read_ahead import Fetch
from rapidnet.runtimes.bundle import is_bundle, open_bundle


class Answerer(Protocol):
    """A network that is open. `runtime` is what it is computed by."""

    @property
    def runtime(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def classes(self) -> list[str]: ...

    def answer(self, names: Sequence[str], fetch: Fetch, options: dict[str, Any]) -> Iterator[Row]:
        """A row for each picture, in their order; `options` as in `Job`."""


@dataclass(frozen=True)
class NamingAnswerer:
    """An `Answerer` of classes of whole pictures."""

    predictor: Predictor
    runtime: str

    @property
    def task(self) -> str:
        return self.predictor.task

    @property
    def classes(self) -> list[str]:
        return self.predictor.classes

    def answer(self, names: Sequence[str], fetch: Fetch, options: dict[str, Any]) -> Iterator[Row]:
        describe = DESCRIBE_NAMED[self.task]
        # Of top and threshold, only the one that the task heeds is in a job.
        top, threshold = options.get("top", 1), options.get("threshold", 0.0)
        found = predict_files(self.predictor, names, top, options["batch_size"], threshold, fetch)
        for name, prediction in zip(names, found, strict=True):
            if prediction.error:
                yield {"image": name, "error": shorten_error(prediction.error, name)}
            else:
                yield {"image": name} | describe(prediction)


@dataclass(frozen=True)
class DenseAnswerer:
    """An `Answerer` of objects or classes of pixels."""

    predictor: DensePredictor
    runtime: str

    @property
    def task(self) -> str:
        return self.predictor.task

    @property
    def classes(self) -> list[str]:
        return self.predictor.classes

    def answer(self, names: Sequence[str], fetch: Fetch, options: dict[str, Any]) -> Iterator[Row]:
        from rapidnet.evaluation import predict_dense

        describe, threshold = DESCRIBE_DENSE[self.task], options.get("threshold", 0.0)
        found = predict_dense.predict_files(self.predictor, names, options["batch_size"], threshold, fetch)
        for name, prediction in zip(names, found, strict=True):
            if prediction.error:
                yield {"image": name, "error": shorten_error(prediction.error, name)}
            else:
                height, width = prediction.pixels.shape[:2]
                yield {"image": name, "width": width, "height": height} | describe(prediction.answer, self.classes)


def open_answerer(path: str, weights: Weights, threads: int) -> Answerer:
    """Open a bundle, run folder or checkpoint, whose network may use so many threads; raises UserError as that."""
    if is_bundle(path):
        bundle = open_bundle(path, threads)
        if is_dense(bundle):
            return DenseAnswerer(open_dense_predictor(bundle, weights), bundle.network.runtime)
        return NamingAnswerer(bundle, bundle.network.runtime)
    import torch

    runtime = f"torch {torch.__version__}, {'CUDA' if torch.cuda.is_available() else 'CPU'}"
    torch.set_num_threads(threads)
    if is_dense(path):
        return DenseAnswerer(open_dense_predictor(path, weights), runtime)
    from rapidnet.evaluation.trained_predictor import open_trained_predictor

    return NamingAnswerer(open_trained_predictor(path, weights), runtime)
