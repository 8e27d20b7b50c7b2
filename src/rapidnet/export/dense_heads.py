"""What of a trained detector or segmenter becomes one graph, and what does that answer?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidnet.errors import UserError
from rapidnet.evaluation.trained_dense import TrainedDense
from rapidnet.export.capture import Head
from rapidnet.models.exportable_detector import PointAnswers
from rapidnet.models.exportable_two_stage import SlotAnswers
from rapidnet.models.segmentation import FullSizeSegmenter

Size = tuple[int, int]


@dataclass(frozen=True)
class Whole:
    """How a kind of head becomes one graph.

    outputs: names, in their order; kind: how they become an answer, a key of `runtimes.pictures.ANSWERS`.
    build: (trained network, (H, W)) -> a module from normalised images [1, 3, H, W] to the outputs.
    compared: as in `Head`: where the graph chooses boxes, a last bit exchanges rows.
    formats, precisions: that hold it; empty means all.
    """

    outputs: tuple[str, ...]
    kind: str
    build: Callable[[Any, Size], nn.Module]
    compared: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()


WHOLE = {
    "fcos": Whole(("boxes", "scores"), "points", PointAnswers),
    "semantic_fpn": Whole(("logits",), "logits", lambda network, size: FullSizeSegmenter(network)),
    "faster_rcnn": Whole(
        ("boxes", "scores", "labels", "objectness"), "slots", SlotAnswers, ("objectness",), ("onnx",), ("fp32",)
    ),
    "mask_rcnn": Whole(
        ("boxes", "scores", "labels", "masks", "objectness"),
        "slots",
        SlotAnswers,
        ("objectness",),
        ("onnx",),
        ("fp32",),
    ),
}


class Levels(nn.Module):
    """Normalised images [B, 3, H, W] -> the levels of the feature pyramid, [B, channels, H / stride, W / stride]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone = network.backbone

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.backbone(images).values())


def choose_head(trained: TrainedDense, part: str, size: Size) -> Head:
    """What an artifact for images of `size`, (H, W) in pixels, answers; `part` is whole or features.

    Raises:
        UserError: a size that the network's stride does not divide.
    """
    multiple = trained.preprocessing.multiple
    if any(side % multiple or side < multiple for side in size):
        raise UserError(f"image size {size[0]}x{size[1]} does not fit the network; give a multiple of {multiple}")
    if part == "features":
        first, *others = name_levels(trained.model)
        return Head(first, "", tuple(others), Levels)
    whole = WHOLE[trained.network.head]
    return Head(whole.outputs[0], "", whole.outputs[1:], lambda network: whole.build(network, size), whole.compared)


def name_levels(network: Any) -> list[str]:
    """p2, p3 and so on: the level of stride 4, of 8, as the literature counts them."""
    backbone = network.backbone
    side = max(backbone.features.strides)
    with torch.inference_mode():
        image = next(backbone.parameters()).new_zeros(1, 3, 2 * side, 2 * side)
        levels = backbone(image).values()
    return [f"p{(2 * side // level.shape[-1]).bit_length() - 1}" for level in levels]


def describe_answers(trained: TrainedDense, part: str) -> dict[str, Any]:
    """For the card: how outputs become an answer, and by which thresholds; empty for features."""
    if part == "features":
        return {}
    kind = WHOLE[trained.network.head].kind
    if kind == "logits":
        return {"kind": kind, "steps": ["resize the logits to the picture, bilinear, align_corners false", "argmax"]}
    settings: Any = trained.model.settings
    if kind == "slots":
        return {
            "kind": kind,
            "score_threshold": settings.score_threshold,
            "detections": settings.detections,
            "suppression": "inside the artifact; what is left over has score 0",
            "steps": [
                "leave out what has score 0", "clip the boxes to the picture",
                "enlarge boxes and masks to the picture's own pixels", "a mask is where its probability is one half",
            ],
        }  # fmt: skip
    return {
        "kind": kind,
        "score_threshold": settings.score_threshold,
        "iou_threshold": settings.nms_iou,
        # The network takes so many of each level.
        "candidates": settings.candidates * len(settings.strides),
        "detections": settings.detections,
        "suppression": "outside the artifact, class by class, by rapidnet.runtimes.detections: alike in every runtime",
        "steps": ["clip the boxes to the picture", "suppress", "enlarge the boxes to the picture's own pixels"],
    }
