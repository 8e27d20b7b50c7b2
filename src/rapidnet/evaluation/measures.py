"""By what is a task judged: which number, from which probabilities, shown how? Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.console import Console

from rapidnet.evaluation.classification_report import print_classification, summarize_classification
from rapidnet.evaluation.detection_metrics import DetectionMeter
from rapidnet.evaluation.detection_report import (
    draw_class_precision,
    draw_precision_recall,
    print_detection,
    summarize_detection,
)
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.multilabel_metrics import MultiLabelMeter
from rapidnet.evaluation.multilabel_report import draw_average_precision, print_multilabel, summarize_multilabel
from rapidnet.evaluation.pictures import draw_confusion, draw_reliability
from rapidnet.evaluation.segmentation_metrics import SegmentationMeter
from rapidnet.evaluation.segmentation_report import print_segmentation, summarize_segmentation

if TYPE_CHECKING:
    from torch import Tensor


def softmax(logits: "Tensor") -> "Tensor":
    """Probabilities of one class out of several."""
    return logits.softmax(1)


def keep(answers: "Tensor") -> "Tensor":
    """What needs nothing more."""
    return answers


@dataclass(frozen=True)
class Measure:
    """How one task is judged; results are what its meter computes."""

    score: str
    """The result, in percent, that chooses the best epoch; None there where nothing could be found."""
    label: str
    """Its name for a person."""
    columns: tuple[str, ...]
    """Results that a row of --results holds."""
    build_meter: Callable[[list[str]], Any]
    """Classes -> a `Meter` of classifiers, a DetectionMeter or a SegmentationMeter."""
    pictures: tuple[tuple[str, Callable[[Any, dict[str, Any]], Figure]], ...]
    """(file name, from meter and results); a training run keeps the first."""
    print_result: Callable[[dict[str, Any], Console], None]
    summarize: Callable[[dict[str, Any]], str]
    train_score: str = ""
    """What the running score of training counts, in percent (validation's, where it can be counted batch by batch);
    empty where training counts nothing."""
    train_label: str = ""
    loss: str = ""
    """The result, in nats, beside the training loss; empty where there is none."""
    activate: "Callable[[Tensor], Tensor]" = keep
    """A classifier's logits [B, C] -> probabilities."""


PRECISION_PICTURES = (
    ("average_precision.png", lambda meter, result: draw_class_precision(result)),
    ("precision_recall.png", lambda meter, result: draw_precision_recall(meter)),
)
DETECTION_COLUMNS = ("images", "objects", "box_ap", "box_ap50", "box_ap75")
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
    "detect": Measure(
        score="box_ap",
        label="box AP",
        columns=DETECTION_COLUMNS,
        build_meter=DetectionMeter,
        pictures=PRECISION_PICTURES,
        print_result=print_detection,
        summarize=summarize_detection,
    ),
    "instance": Measure(
        score="mask_ap",
        label="mask AP",
        columns=(*DETECTION_COLUMNS, "mask_ap", "mask_ap50"),
        build_meter=lambda classes: DetectionMeter(classes, with_masks=True),
        pictures=PRECISION_PICTURES,
        print_result=print_detection,
        summarize=summarize_detection,
    ),
    "semantic": Measure(
        score="miou",
        label="mIoU",
        train_score="pixel_accuracy",
        train_label="pixel accuracy",
        columns=("images", "pixels", "miou", "miou_interval", "pixel_accuracy", "mean_accuracy"),
        build_meter=SegmentationMeter,
        pictures=(
            ("confusion.png", lambda meter, result: draw_confusion(result["confusion"], meter.classes, "pixels")),
        ),
        print_result=print_segmentation,
        summarize=summarize_segmentation,
    ),
}
"""Task, as a checkpoint's metadata names it -> how it is judged."""
