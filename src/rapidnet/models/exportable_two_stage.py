"""How does a Mask R-CNN or Faster R-CNN become one graph, for torch.export?

torchvision's forward picks as many boxes as there happen to be, which no exporter follows: torch.export stops at the
first branch on such a number, and the tracer freezes it. Here every step keeps as many boxes as there can be, and
those left over have score 0.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image, nms, roi_align

from rapidnet.errors import UserError
from rapidnet.models.two_stage import TwoStageDetector

SMALLEST_PROPOSAL, SMALLEST_BOX = 1e-3, 1e-2
"""Sides in pixels below which torchvision drops a proposal, and a detection."""
PER_PROPOSAL = 4
"""How many boxes of a proposal, one a class, suppression looks at on average; the best of all proposals together."""


class SlotAnswers(nn.Module):
    """A two-stage detector for one image of a fixed size, suppression within.

    Normalised images [1, 3, H, W] -> boxes [1, D, 4] in pixels (left, top, right, bottom), scores [1, D], the best
    first and 0 where there is no detection, labels int64 [1, D] from 0 on, with a mask head masks [1, D, S, S]
    (probabilities within the box), and objectness [1, A]: the logits of every anchor, which depend on no choice.

    Args:
        detector: in eval mode, folded or not; it is not changed, and its layers are shared.
        image_size: (H, W) in pixels, multiples of the detector's size_divisor.
    Raises:
        UserError: a detector of another kind or in training mode, or a size that does not fit.
    """

    anchors: Tensor

    def __init__(self, detector: nn.Module, image_size: tuple[int, int]) -> None:
        super().__init__()
        if not isinstance(detector, TwoStageDetector):
            raise UserError(f"{type(detector).__name__} is no two-stage detector; give a mask_rcnn or faster_rcnn")
        if detector.training:
            raise UserError("a detector is exported in eval mode, this one is in training mode; call .eval() first")
        settings = detector.settings
        if any(side % settings.size_divisor or side < settings.size_divisor for side in image_size):
            raise UserError(
                f"image size {image_size[0]}x{image_size[1]} does not fit; give multiples of {settings.size_divisor}"
            )
        rpn: Any = detector.rpn
        self.image_size, self.settings, self.num_classes = image_size, settings, detector.num_classes
        self.backbone, self.rpn_head, self.heads = detector.backbone, rpn.head, detector.roi_heads
        self.rpn_coder = rpn.box_coder
        parameter = next(detector.parameters())
        with torch.no_grad():
            levels = list(self.backbone(parameter.new_zeros(1, 3, *image_size)).values())
        anchors = rpn.anchor_generator(ImageList(levels[0], [image_size]), levels)[0]
        self.register_buffer("anchors", anchors.to(parameter))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.backbone(images)
        logits, deltas = self.rpn_head(list(features.values()))
        # Rows first, the shapes of an anchor innermost, as anchors are listed.
        logits = [level[0].permute(1, 2, 0).flatten() for level in logits]
        moves = [level[0].unflatten(0, (-1, 4)).permute(2, 3, 0, 1).flatten(0, 2) for level in deltas]
        proposals, valid = self.propose(logits, torch.cat(moves))
        boxes, scores, labels = self.choose(features, proposals, valid)
        answers = [boxes, scores, labels]
        if self.heads.has_mask():
            pooled = self.pool(self.heads.mask_roi_pool, features, boxes)
            masks = self.heads.mask_predictor(self.heads.mask_head(pooled)).sigmoid()
            answers.append(masks[torch.arange(len(labels), device=labels.device), labels + 1])
        return (*(answer[None] for answer in answers), torch.cat(logits)[None])

    def propose(self, logits: list[Tensor], moves: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each level's anchors, differences [A, 4] -> boxes [P, 4], and which of them are proposals."""
        decoded = self.rpn_coder.decode_single(moves, self.anchors)
        best, places, levels, start = [], [], [], 0
        for level, values in enumerate(logits):
            top, index = values.topk(min(self.settings.proposals_per_level_test, len(values)))
            best.append(top.sigmoid())
            places.append(index + start)
            levels.append(torch.full_like(top, level))
            start += len(values)
        boxes = clip_boxes_to_image(decoded[torch.cat(places)], self.image_size)
        scores = torch.cat(best) * is_larger(boxes, SMALLEST_PROPOSAL)
        kept = self.suppress(boxes, scores, torch.cat(levels), self.settings.rpn_nms_iou)
        chosen, found = fill_slots(kept, min(self.settings.proposals_test, len(boxes)), len(boxes))
        return boxes[chosen], found & (scores[chosen] > 0)

    def choose(self, features: dict[str, Tensor], proposals: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes [P, 4] -> detections: boxes [D, 4], scores [D], labels [D]."""
        heads = self.heads
        logits, moves = heads.box_predictor(heads.box_head(self.pool(heads.box_roi_pool, features, proposals)))
        scores = logits.softmax(1)[:, 1:] * valid[:, None]
        boxes = heads.box_coder.decode_single(moves, proposals).reshape(len(proposals), -1, 4)[:, 1:]
        boxes = clip_boxes_to_image(boxes.reshape(-1, 4), self.image_size)
        scores = scores.flatten() * is_larger(boxes, SMALLEST_BOX)
        scores = scores * (scores > self.settings.score_threshold)
        best, index = scores.topk(min(PER_PROPOSAL * len(proposals), len(scores)))
        labels, boxes = index % self.num_classes, boxes[index]
        kept = self.suppress(boxes, best, labels.to(boxes), self.settings.nms_iou)
        chosen, found = fill_slots(kept, min(self.settings.detections, len(boxes)), len(boxes))
        return boxes[chosen], best[chosen] * found, labels[chosen]

    def suppress(self, boxes: Tensor, scores: Tensor, groups: Tensor, iou: float) -> Tensor:
        """Places of the boxes that are left, the best first; groups are kept apart by moving each far away."""
        if boxes.is_meta:
            # Where operations are only counted there is nothing to choose by; all shapes stay as they are.
            return torch.arange(len(boxes), device=boxes.device)
        return nms(boxes + groups[:, None] * (max(self.image_size) + 1), scores, iou)

    def pool(self, pooler: Any, features: dict[str, Tensor], boxes: Tensor) -> Tensor:
        """Boxes [N, 4] -> [N, C, size, size], each from the level of its size.

        On the other levels it is a box without an area, which costs nothing.
        """
        levels = pooler.map_levels([boxes])
        total: Any = 0
        for level, (name, stride) in enumerate(zip(pooler.featmap_names, pooler.strides, strict=True)):
            own = (levels == level)[:, None]
            rois = torch.cat([boxes.new_zeros(len(boxes), 1), torch.where(own, boxes, 0)], dim=1)
            part = roi_align(features[name], rois, pooler.output_size, 1 / stride, pooler.sampling_ratio, aligned=True)
            total = total + torch.where(own[..., None, None], part, 0)
        pooled: Tensor = total
        return pooled


def is_larger(boxes: Tensor, side: float) -> Tensor:
    """1 for boxes [N, 4] with no side below `side`, else 0."""
    return ((boxes[:, 2] - boxes[:, 0] >= side) & (boxes[:, 3] - boxes[:, 1] >= side)).to(boxes)


def fill_slots(kept: Tensor, slots: int, count: int) -> tuple[Tensor, Tensor]:
    """Places int64 [slots] of boxes, of `count`: those kept and then the last one, again and again; and which are."""
    places = torch.cat([kept, kept.new_full((slots,), count - 1)])[:slots]
    return places, torch.arange(slots, device=kept.device) < kept.shape[0]
