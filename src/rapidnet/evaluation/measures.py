"""By what is a task judged: which number, from which probabilities, shown how? Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.console import Console

from rapidnet.evaluation.classification_report import print_classification, summarize_classification
from rapidnet.evaluation.metrics import ClassificationMeter, Meter
from rapidnet.evaluation.multilabel_metrics import MultiLabelMeter
from rapidnet.evaluation.multilabel_report import draw_average_precision, print_multilabel, summarize_multilabel
from rapidnet.evaluation.pictures import draw_confusion, draw_reliability

if TYPE_CHECKING:
    from torch import Tensor


def softmax(logits: "Tensor") -> "Tensor":
    """Probabilities of one class out of several."""
    return logits.softmax(1)


@dataclass(frozen=True)
class Measure:
    """How one task is judged; results are what its meter computes."""

    score: str
    """The result, in percent, that chooses the best epoch."""
    label: str
    """Its name for a person."""
    train_score: str
    """What the running score of training counts, in percent (validation's, where it can be counted batch by batch)."""
    train_label: str
    loss: str
    """The result, in nats, beside the training loss."""
    columns: tuple[str, ...]
    """Results that a row of --results holds."""
    build_meter: Callable[[list[str]], Meter]
    activate: "Callable[[Tensor], Tensor]"
    """Logits [B, C] -> probabilities."""
    pictures: tuple[tuple[str, Callable[[Any, dict[str, Any]], Figure]], ...]
    """(file name, from meter and results); a training run keeps the first."""
    print_result: Callable[[dict[str, Any], Console], None]
    summarize: Callable[[dict[str, Any]], str]


MEASURES = {
    "classification": Measure(
        score="top1",
        label="top-1",
        train_score="top1",
        train_label="top-1",
        loss="nll",
        columns=("images", "top1", "top1_interval", "top5", "balanced_accuracy", "ece", "nll", "macro_f1"),
        build_meter=ClassificationMeter,
        activate=softmax,
        pictures=(
            ("confusion.png", lambda meter, result: draw_confusion(result["confusion"], meter.classes)),
            ("reliability.png", lambda meter, result: draw_reliability(meter.reliability_bins(), result["ece"])),
        ),
        print_result=print_classification,
        summarize=summarize_classification,
    ),
    "multilabel": Measure(
        score="map",
        label="mAP",
        train_score="hit1",
        train_label="first answer right",
        loss="bce",
        columns=("images", "map", "macro_f1", "micro_f1", "bce", "without_positives"),
        build_meter=MultiLabelMeter,
        activate=lambda logits: logits.sigmoid(),
        pictures=(("average_precision.png", lambda meter, result: draw_average_precision(result)),),
        print_result=print_multilabel,
        summarize=summarize_multilabel,
    ),
}
"""Task, as a checkpoint's metadata names it -> how it is judged."""
