"""How does the one-stage detector become one graph from pixels to boxes, for torch.export?"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms

from rapidnet.errors import UserError
from rapidnet.models.one_stage import OneStageDetector


class PointAnswers(nn.Module):
    """A one-stage detector for images of a fixed size, up to the box and the scores of every point.

    Normalised images [B, 3, H, W] -> boxes [B, A, 4] in pixels (left, top, right, bottom), scores [B, A, num_classes].
    The detector is in eval mode, folded or not; it is not changed, and its layers are shared. Raises UserError as
    `ExportableDetector`.
    """

    centers: Tensor
    reach: Tensor
    corner: Tensor

    def __init__(self, detector: nn.Module, image_size: tuple[int, int]) -> None:
        super().__init__()
        if not isinstance(detector, OneStageDetector):
            raise UserError(f"{type(detector).__name__} cannot be exported as one graph; the detector kind 'fcos' can")
        if detector.training:
            raise UserError("a detector is exported in eval mode, this one is in training mode; call .eval() first")
        settings: Any = detector.settings
        if any(side % settings.size_divisor or side < settings.size_divisor for side in image_size):
            raise UserError(
                f"image size {image_size[0]}x{image_size[1]} does not fit a detector of stride {settings.strides[-1]}; "
                f"give multiples of {settings.size_divisor}"
            )
        self.backbone, self.head = detector.backbone, detector.head
        parameter = next(detector.parameters())
        with torch.no_grad():
            features = list(self.backbone(parameter.new_zeros(1, 3, *image_size)).values())
        anchors = detector.anchor_generator(ImageList(features[0], [image_size]), features)[0]
        self.register_buffer("centers", (anchors[:, :2] + anchors[:, 2:]) / 2)
        self.register_buffer("reach", anchors[:, 2:] - anchors[:, :2])
        self.register_buffer("corner", parameter.new_tensor([image_size[1], image_size[0]]))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        answers = self.head(list(self.backbone(images).values()))
        scores = (answers["cls_logits"].sigmoid() * answers["bbox_ctrness"].sigmoid()).sqrt()
        distances = answers["bbox_regression"]
        first = self.centers - distances[..., :2] * self.reach
        last = self.centers + distances[..., 2:] * self.reach
        boxes = torch.cat([first.clamp(min=0).minimum(self.corner), last.clamp(min=0).minimum(self.corner)], dim=-1)
        return boxes, scores


class ExportableDetector(nn.Module):
    """A one-stage detector for one image of a fixed size, with its normalisation inside and no loop outside.

    RGB pixels [1, 3, H, W] from 0 to 255, float32 or uint8 -> boxes in pixels (left, top, right, bottom) and scores:
    without suppression boxes [A, 4] and scores [A, num_classes] of every point, for
    `rapidnet.runtimes.detections.select_detections`; with it boxes [N, 4], scores [N], labels int64 [N] from 0 on,
    the best first, N = min(settings.detections, candidates), where what is left over has score 0.

    An image of another shape is resized to fit and padded at the right and below, with the mean colour as in training.

    Args:
        detector: in eval mode, folded or not; it is not changed, and its layers are shared.
        image_size: (H, W) in pixels, multiples of the detector's size_divisor.
        suppress: leave the best of overlapping boxes within the graph; not every format can.
    Raises:
        UserError: a detector of another kind or in training mode, or a size that does not fit.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, detector: nn.Module, image_size: tuple[int, int], suppress: bool = False) -> None:
        super().__init__()
        self.points = PointAnswers(detector, image_size)
        settings: Any = detector.settings
        self.suppress, self.num_classes = suppress, int(detector.num_classes)  # type: ignore[arg-type]
        self.score_threshold, self.nms_iou = settings.score_threshold, settings.nms_iou
        parameter = next(detector.parameters())
        transform: Any = detector.transform
        self.register_buffer("mean", parameter.new_tensor(transform.image_mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (parameter.new_tensor(transform.image_std).view(1, 3, 1, 1) * 255))
        self.candidates = min(settings.candidates, len(self.points.centers) * self.num_classes)
        self.detections = min(settings.detections, self.candidates)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        boxes, scores = self.points((pixels.to(self.mean.dtype) - self.mean) * self.scale)
        return self.select(boxes[0], scores[0]) if self.suppress else (boxes[0], scores[0])

    def select(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes [A, 4], scores [A, num_classes] -> the best, class by class: [N, 4], [N], [N]."""
        best, index = scores.flatten().topk(self.candidates)
        labels, boxes = index % self.num_classes, boxes[index // self.num_classes]
        # Classes are kept apart by moving each far from the others.
        apart = labels[:, None].to(boxes.dtype) * (self.points.corner.max() + 1)
        kept = nms(boxes + apart, best, self.nms_iou)
        # As many answers always: those left over point to the worst candidate, and say 0.
        places = torch.cat([kept, kept.new_full((self.detections,), self.candidates - 1)])[: self.detections]
        found = torch.arange(self.detections, device=boxes.device) < kept.shape[0]
        best = best * (best > self.score_threshold)
        return boxes[places], best[places] * found, labels[places]
