"""How do pictures become rows, whatever network answers them? Batches are cut the same way wherever it happens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rapidnet.bulk.columns import DESCRIBE_DENSE, DESCRIBE_NAMED, Row, shorten_error
from rapidnet.config import Weights
from rapidnet.evaluation.dense_predictor import DensePredictor, is_dense, open_dense_predictor
from rapidnet.evaluation.predict import Predictor, predict_files
from rapidnet.evaluation.read_ahead import Fetch
from rapidnet.runtimes.bundle import is_bundle, open_bundle


@dataclass(frozen=True)
class Answerer:
    """A network that is open. runtime: what it is computed by; rows: what makes rows of its answers."""

    predictor: Any
    runtime: str
    rows: Callable[[Any, Sequence[str], Fetch, dict[str, Any]], Iterator[Row]]

    @property
    def task(self) -> str:
        return str(self.predictor.task)

    @property
    def classes(self) -> list[str]:
        return list(self.predictor.classes)

    def answer(self, names: Sequence[str], fetch: Fetch, options: dict[str, Any]) -> Iterator[Row]:
        """A row for each picture, in their order; `options` as in `Job`."""
        return self.rows(self.predictor, names, fetch, options)


def name_pictures(predictor: Predictor, names: Sequence[str], fetch: Fetch, options: dict[str, Any]) -> Iterator[Row]:
    """Classes of whole pictures."""
    describe = DESCRIBE_NAMED[predictor.task]
    # Of top and threshold, only the one that the task heeds is in a job.
    top, threshold = options.get("top", 1), options.get("threshold", 0.0)
    found = predict_files(predictor, names, top, options["batch_size"], threshold, fetch)
    for name, prediction in zip(names, found, strict=True):
        if prediction.error:
            yield {"image": name, "error": shorten_error(prediction.error, name)}
        else:
            yield {"image": name} | describe(prediction)


def find_in_pictures(
    predictor: DensePredictor, names: Sequence[str], fetch: Fetch, options: dict[str, Any]
) -> Iterator[Row]:
    """Objects, or classes of pixels."""
    from rapidnet.evaluation import predict_dense

    describe, threshold = DESCRIBE_DENSE[predictor.task], options.get("threshold", 0.0)
    found = predict_dense.predict_files(predictor, names, options["batch_size"], threshold, fetch)
    for name, prediction in zip(names, found, strict=True):
        if prediction.error:
            yield {"image": name, "error": shorten_error(prediction.error, name)}
        else:
            height, width = prediction.pixels.shape[:2]
            yield {"image": name, "width": width, "height": height} | describe(prediction.answer, predictor.classes)


def open_answerer(path: str, weights: Weights, threads: int) -> Answerer:
    """Open a bundle, run folder or checkpoint, whose network may use so many threads; raises UserError as that."""
    if is_bundle(path):
        bundle = open_bundle(path, threads)
        if is_dense(bundle):
            return Answerer(open_dense_predictor(bundle, weights), bundle.network.runtime, find_in_pictures)
        return Answerer(bundle, bundle.network.runtime, name_pictures)
    import torch

    runtime = f"torch {torch.__version__}, {'CUDA' if torch.cuda.is_available() else 'CPU'}"
    torch.set_num_threads(threads)
    if is_dense(path):
        return Answerer(open_dense_predictor(path, weights), runtime, find_in_pictures)
    from rapidnet.evaluation.trained_predictor import open_trained_predictor

    return Answerer(open_trained_predictor(path, weights), runtime, name_pictures)
