"""What do torchvision's detection parts do differently from the paper's detector, and what is done instead?

`OVERRIDES`, at the end, says it in a sentence for each class here; nothing of torchvision is changed anywhere else.
The paper's side is mmdetection 2.28, in which the released detectors were trained.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops._utils import convert_boxes_to_roi_format
from torchvision.ops.poolers import LevelMapper

Targets = list[dict[str, Tensor]]


class StrideAnchors(AnchorGenerator):
    """Anchors of (scale x stride)^2 pixels around every multiple of the stride, rows first, ratios innermost."""

    def __init__(self, strides: Sequence[int], scale: float, ratios: Sequence[float]) -> None:
        self.strides = list(strides)
        super().__init__(tuple((scale * stride,) for stride in strides), (tuple(ratios),) * len(self.strides))

    def generate_anchors(
        self, scales: Any, aspect_ratios: Any, dtype: torch.dtype = torch.float32, device: Any = "cpu"
    ) -> Tensor:
        """Sides `scales`, ratios of height to width -> [ratios x scales, 4] around the origin."""
        sides = torch.as_tensor(scales, dtype=dtype, device=device)
        root = torch.as_tensor(aspect_ratios, dtype=dtype, device=device).sqrt()[:, None]
        widths, heights = (sides / root).flatten(), (sides * root).flatten()
        return torch.stack([-widths, -heights, widths, heights], dim=1) / 2

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        self.set_cell_anchors(feature_maps[0].dtype, feature_maps[0].device)
        sizes = [list(level.shape[-2:]) for level in feature_maps]
        strides = [[torch.tensor(stride, device=feature_maps[0].device)] * 2 for stride in self.strides]
        anchors = torch.cat(self.grid_anchors(sizes, strides))
        return [anchors] * len(image_list.image_sizes)


class BestMatcher(Matcher):
    """Matches by IoU; an object's best boxes are its own from `best_iou` on, the later object's where two claim one."""

    def __init__(self, positive_iou: float, negative_iou: float, best_iou: float) -> None:
        super().__init__(positive_iou, negative_iou, allow_low_quality_matches=True)
        self.best_iou = best_iou

    def set_low_quality_matches_(self, matches: Tensor, all_matches: Tensor, match_quality_matrix: Tensor) -> None:
        best = match_quality_matrix.amax(dim=1, keepdim=True)
        claims = (match_quality_matrix == best) & (best >= self.best_iou)
        order = torch.arange(1, len(claims) + 1, device=claims.device)[:, None]
        last = (claims * order).amax(dim=0)
        matches[last > 0] = last[last > 0] - 1


class ClampedBoxCoder(BoxCoder):
    """A box shrinks to 16/1000 of its anchor at most, as it grows to 1000/16 at most."""

    def __init__(self, stds: Sequence[float]) -> None:
        super().__init__(tuple(1 / std for std in stds))

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        # In half precision a box at 300 pixels would be off by one.
        rel_codes = rel_codes.to(boxes.dtype)
        low = [-float("inf"), -float("inf"), *(-self.bbox_xform_clip * weight for weight in self.weights[2:])]
        return super().decode_single(
            rel_codes.maximum(rel_codes.new_tensor(low).repeat(rel_codes.shape[1] // 4)), boxes
        )


class ProposalNetwork(RegionProposalNetwork):
    """L1 on box differences; both losses are divided by the number of samples; padding is not trained on."""

    size_divisor = 32

    def forward(self, images: ImageList, features: dict[str, Tensor], targets: Targets | None = None) -> Any:
        if targets is not None:
            # Rides along to the assignment, which is not told of sizes.
            sizes = [torch.tensor(size) for size in images.image_sizes]
            targets = [{**target, "size": size} for target, size in zip(targets, sizes, strict=True)]
        return super().forward(images, features, targets)

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: Targets) -> tuple[list[Tensor], list[Tensor]]:
        labels, boxes = [], []
        for every, target in zip(anchors, targets, strict=True):
            padded = (target["size"].to(every.device) / self.size_divisor).ceil() * self.size_divisor
            inside = (((every[:, :2] + every[:, 2:]) / 2) < padded.flip(0)).all(dim=1)
            (some_labels,), (some_boxes,) = super().assign_targets_to_anchors([every[inside]], [target])
            labels.append(every.new_full((len(every),), -1).masked_scatter(inside, some_labels.to(every)))
            boxes.append(every.clone().masked_scatter(inside[:, None], some_boxes.to(every)))
        return labels, boxes

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        positive, negative = self.fg_bg_sampler(labels)
        samples = sum(max(int(chosen.sum()), 1) for chosen in [*positive, *negative])
        positives, negatives = (torch.where(torch.cat(chosen))[0] for chosen in (positive, negative))
        both = torch.cat([positives, negatives])
        targets, answers = torch.cat(regression_targets), torch.cat(labels)
        box_loss = F.l1_loss(pred_bbox_deltas[positives], targets[positives], reduction="sum") / samples
        objectness = objectness.flatten()[both]
        return F.binary_cross_entropy_with_logits(objectness, answers[both], reduction="sum") / samples, box_loss


class AlignedRoIAlign(MultiScaleRoIAlign):
    """Pools from the level of a box's size, half a pixel to the left and above, at scales that the strides say."""

    def __init__(self, strides: Sequence[int], output_size: int, sampling_ratio: int) -> None:
        super().__init__([str(i) for i in range(len(strides))], output_size, sampling_ratio)
        self.strides = list(strides)
        self.map_levels = LevelMapper(strides[0].bit_length() - 1, strides[-1].bit_length() - 1)

    def forward(self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]) -> Tensor:
        first = x[self.featmap_names[0]]
        rois, levels = convert_boxes_to_roi_format(boxes), self.map_levels(boxes)
        pooled = first.new_zeros(len(rois), first.shape[1], *self.output_size)
        for level, (name, stride) in enumerate(zip(self.featmap_names, self.strides, strict=True)):
            chosen = torch.where(levels == level)[0]
            part = roi_align(x[name], rois[chosen], self.output_size, 1 / stride, self.sampling_ratio, aligned=True)
            pooled[chosen] = part.to(pooled.dtype)
        return pooled


class BoxAndMaskHeads(RoIHeads):
    """L1 on box differences; masks are learned from aligned crops of the true ones, made 0 or 1 at one half."""

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> Any:  # fmt: skip
        if not self.training:
            return super().forward(features, proposals, image_shapes, targets)
        proposals, matched, labels, differences = self.select_training_samples(proposals, targets)
        pooled = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        logits, deltas = self.box_predictor(pooled)
        losses = self.compute_box_losses(logits, deltas, torch.cat(labels), torch.cat(differences))
        if self.has_mask():
            assert targets is not None
            chosen = [torch.where(label > 0)[0] for label in labels]
            positives = [boxes[index] for boxes, index in zip(proposals, chosen, strict=True)]
            logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, positives, image_shapes)))
            classes = torch.cat([label[index] for label, index in zip(labels, chosen, strict=True)])
            truths = [
                self.crop_masks(target["masks"], boxes, match[index], logits.shape[-1])
                for target, boxes, match, index in zip(targets, positives, matched, chosen, strict=True)
            ]
            losses["loss_mask"] = self.compute_mask_loss(logits, torch.cat(truths), classes)
        return [], losses

    @staticmethod
    def compute_box_losses(logits: Tensor, deltas: Tensor, labels: Tensor, differences: Tensor) -> dict[str, Tensor]:
        """Logits [N, classes + 1], deltas [N, 4 (classes + 1)], labels [N] (0: background), differences [N, 4]."""
        positive = torch.where(labels > 0)[0]
        own = deltas.unflatten(1, (-1, 4))[positive, labels[positive]]
        box_loss = F.l1_loss(own, differences[positive], reduction="sum") / max(len(labels), 1)
        return {"loss_classifier": F.cross_entropy(logits, labels), "loss_box_reg": box_loss}

    @staticmethod
    def crop_masks(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
        """Masks [M, H, W] of 0 and 1, boxes [N, 4], the mask of each [N] -> [N, size, size] of 0 and 1."""
        if not len(boxes):
            return boxes.new_zeros(0, size, size)
        rois = torch.cat([matched[:, None].to(boxes), boxes], dim=1)
        return (roi_align(masks[:, None].to(boxes), rois, size, 1.0, 0, aligned=True)[:, 0] >= 0.5).to(boxes)

    @staticmethod
    def compute_mask_loss(logits: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
        """Logits [N, classes + 1, S, S], masks [N, S, S], labels [N] from 1 on."""
        if not len(labels):
            return logits.sum() * 0
        return F.binary_cross_entropy_with_logits(logits[torch.arange(len(labels)), labels], masks)


class RoundedTransform(GeneralizedRCNNTransform):
    """Resized sides are rounded to the nearest pixel; masks are put back by sampling at pixel centres.

    answer_sizes: while set, (height, width) that answers are for. keep_training_sizes: training resizes nothing.
    """

    answer_sizes: list[tuple[int, int]] | None = None
    keep_training_sizes = False

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, Any]:
        if self.training and self.keep_training_sizes:
            return image, target
        sides = image.shape[-2:]
        short = self.torch_choice(self.min_size) if self.training else self.min_size[-1]
        scale = min(short / min(sides), self.max_size / max(sides))
        size = [int(side * scale + 0.5) for side in sides]
        image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
        if target is not None:
            target["boxes"] = resize_boxes(target["boxes"], sides, size)
            if "masks" in target and len(target["masks"]):
                target["masks"] = F.interpolate(target["masks"][:, None].float(), size)[:, 0].byte()
            elif "masks" in target:
                target["masks"] = target["masks"].new_zeros(0, *size)
        return image, target

    def postprocess(
        self, result: Targets, image_shapes: list[tuple[int, int]], original_image_sizes: list[tuple[int, int]]
    ) -> Targets:
        if self.training:
            return result
        original_image_sizes = self.answer_sizes or original_image_sizes
        masks = [answer.pop("masks", None) for answer in result]
        result = super().postprocess(result, image_shapes, original_image_sizes)
        for answer, mask, size in zip(result, masks, original_image_sizes, strict=True):
            if mask is not None:
                answer["masks"] = paste_masks(mask, answer["boxes"], size)
        return result


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks [N, 1, S, S] within boxes [N, 4] -> [N, 1, H, W]: each pixel's centre, interpolated; 0 outside the box."""
    canvas = masks.new_zeros(len(masks), 1, *size)
    for i, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        axes, bounds = [], []
        for low, high, side in ((box[0], box[2], size[1]), (box[1], box[3], size[0])):
            first, last = max(int(low.floor()) - 1, 0), min(int(high.ceil()) + 1, side)
            centers = torch.arange(first, last, dtype=box.dtype, device=box.device) + 0.5
            axes.append((centers - low) / (high - low) * 2 - 1)
            bounds.append((first, last))
        grid = torch.stack(torch.meshgrid(*axes, indexing="xy"), dim=-1)
        (left, right), (top, bottom) = bounds
        canvas[i, 0, top:bottom, left:right] = F.grid_sample(mask[None], grid[None], align_corners=False)[0, 0]
    return canvas


OVERRIDES: dict[type, str] = {
    StrideAnchors: "torchvision rounds anchors to whole pixels, and its stride is the image's side divided by the "
    "map's, which gives 61 for 64 where the last level has 13 rows of 800 pixels",
    BestMatcher: "torchvision makes an object's best anchors positive however little they overlap, and gives them to "
    "the object that they overlap most",
    ClampedBoxCoder: "torchvision bounds how far a box grows, not how far it shrinks",
    ProposalNetwork: "torchvision's loss is smooth L1, and anchors in the padding beside a smaller image are negatives",
    AlignedRoIAlign: "torchvision's pooling is off by half a pixel, and guesses the scales from its first batch",
    BoxAndMaskHeads: "torchvision's loss is smooth L1, and its true masks are soft and off by half a pixel",
    RoundedTransform: "torchvision rounds resized sides down, and puts masks back at whole pixels",
}
"""Each class here, and what it is there for. A test builds a detector and finds all of them in it."""
