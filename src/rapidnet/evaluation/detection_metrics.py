"""How good are boxes and masks? COCO's average precision, by size and by class. Needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from faster_coco_eval.core import COCO, COCOeval_faster
from numpy.typing import NDArray

from rapidnet.data.object_masks import encode_mask
from rapidnet.errors import UserError

AREAS = ("all", "small", "medium", "large")
"""COCO's ranges of an object's area: any, below 32^2 pixels, below 96^2, above."""
IOU_50, IOU_75 = 0, 5
"""Places of these overlaps among COCO's ten, 0.5 to 0.95."""
RECALLS = np.linspace(0, 1, 101)
"""Where precision is read."""
KINDS = {"box": "bbox", "mask": "segm"}

Array = NDArray[Any]
Row = dict[str, Any]


@dataclass
class _Picture:
    height: int
    width: int
    objects: list[Row] = field(default_factory=list)
    detections: list[Row] = field(default_factory=list)


class DetectionMeter:
    """Collects detections and objects picture by picture; masks are kept as run lengths.

    Args:
        classes: names, which labels count from 0.
        with_masks: measure masks beside boxes; then both sides must have them.
        max_detections: the best so many of a picture and class count.
    """

    def __init__(self, classes: Sequence[str], with_masks: bool = False, max_detections: int = 100) -> None:
        self.classes, self.with_masks, self.max_detections = list(classes), with_masks, max_detections
        self._pictures: dict[int, _Picture] = {}
        self.precision: dict[str, Array] = {}
        """Of boxes and perhaps masks: [10 overlaps, 101 recalls, classes, 4 areas] in [0, 1], -1 where there are no
        objects; as `compute` last found it."""

    def update(self, image_id: int, detections: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
        """Add a picture; arrays may be numpy's or tensors on the CPU, and N or M may be 0.

        Args:
            image_id: its number, new to this meter.
            detections: boxes [N, 4] as (left, top, right, bottom) in pixels, labels [N], scores [N] and, with
                masks, masks bool [N, H, W].
            targets: boxes [M, 4], labels [M] and, with masks, masks bool [M, H, W]; optionally iscrowd [M] (regions
                that neither count nor harm) and area [M] (that of the mask, else of the box).
        Raises:
            ValueError: another shape, a label outside the classes, a number that came before.
            UserError: NaN or infinite boxes or scores, as a diverged network gives.
        """
        if image_id in self._pictures:
            raise ValueError(f"image {image_id} was measured already")
        found, truth = _read_boxes(detections, len(self.classes)), _read_boxes(targets, len(self.classes))
        scores = np.asarray(detections["scores"], dtype=np.float64).reshape(-1)
        if len(scores) != len(found[0]):
            raise ValueError(f"there are {len(found[0])} boxes and {len(scores)} scores")
        if not (np.isfinite(found[0]).all() and np.isfinite(scores).all()):
            raise UserError(
                "the network answers with NaN or infinite boxes or scores, so nothing can be measured; "
                "train it with a lower --optimizer.lr, or with --precision 32-true"
            )
        shape = (0, 0)
        masks: list[list[Row | None]] = [[None] * len(found[0]), [None] * len(truth[0])]
        if self.with_masks:
            shape, masks = _read_masks(detections, targets, len(found[0]), len(truth[0]))
        picture = _Picture(*shape)
        crowds = np.asarray(targets.get("iscrowd", np.zeros(len(truth[0])))).astype(np.int64).reshape(-1)
        areas = _read_areas(targets, truth[0], masks[1])
        for box, label, mask, crowd, area in zip(*truth, masks[1], crowds.tolist(), areas, strict=True):
            picture.objects.append(_describe(box, label, mask) | {"iscrowd": crowd, "area": float(area)})
        for box, label, mask, score in zip(*found, masks[0], scores.tolist(), strict=True):
            picture.detections.append(_describe(box, label, mask) | {"score": score})
        self._pictures[image_id] = picture

    def merge(self, other: "DetectionMeter") -> None:
        """Add what another meter over the same classes collected from other pictures; those of both count once."""
        self._pictures = {**other._pictures, **self._pictures}

    def compute(self) -> dict[str, Any]:
        """What is known so far, in values that JSON can hold; precisions in percent, None where there are no objects.

        Returns:
            images, objects (crowds left out), detections: how many; box_ap (mean over overlaps 0.5 to 0.95 and
            classes), box_ap50, box_ap75, box_ap_small, box_ap_medium, box_ap_large; with masks the same as mask_ap...;
            per_class: class, objects, box_ap, box_ap50 and so on for masks.
        Raises:
            UserError: no picture was measured.
        """
        if not self._pictures:
            raise UserError("not one image could be measured; check that the folder holds readable images")
        objects = [row for picture in self._pictures.values() for row in picture.objects if not row["iscrowd"]]
        counts = np.bincount([row["category_id"] - 1 for row in objects], minlength=len(self.classes))
        result: dict[str, Any] = {
            "images": len(self._pictures),
            "objects": len(objects),
            "detections": sum(len(picture.detections) for picture in self._pictures.values()),
        }
        per_class: list[Row] = [
            {"class": name, "objects": int(count)} for name, count in zip(self.classes, counts, strict=True)
        ]
        for kind in KINDS if self.with_masks else ["box"]:
            precision = self.precision[kind] = self._measure(kind)
            result |= {
                f"{kind}_ap": _mean(precision[:, :, :, 0]),
                f"{kind}_ap50": _mean(precision[IOU_50, :, :, 0]),
                f"{kind}_ap75": _mean(precision[IOU_75, :, :, 0]),
                **{f"{kind}_ap_{area}": _mean(precision[:, :, :, i]) for i, area in enumerate(AREAS) if i},
            }
            for label, row in enumerate(per_class):
                row[f"{kind}_ap"] = _mean(precision[:, :, label, 0])
                row[f"{kind}_ap50"] = _mean(precision[IOU_50, :, label, 0])
        return result | {"per_class": per_class}

    def _measure(self, kind: str) -> Array:
        """Precision [10 overlaps, 101 recalls, classes, 4 areas]; -1 where there are no objects."""
        truth, answers = COCO(), COCO()
        images = [
            {"id": image_id, "height": picture.height, "width": picture.width}
            for image_id, picture in self._pictures.items()
        ]
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(self.classes)]
        for api, part in ((truth, "objects"), (answers, "detections")):
            rows = [
                _adapt(row, kind) | {"image_id": image_id}
                for image_id, picture in self._pictures.items()
                for row in getattr(picture, part)
            ]
            # A match is stored by its number, and 0 means none.
            annotations = [row | {"id": number} for number, row in enumerate(rows, start=1)]
            api.dataset = {"images": images, "categories": categories, "annotations": annotations}
            api.createIndex()
        evaluation = COCOeval_faster(truth, answers, KINDS[kind], rle_iou_max_workers=1)
        evaluation.params.maxDets = [self.max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
        precision: Array = evaluation.eval["precision"]
        return precision[..., 0]


def _adapt(row: Row, kind: str) -> Row:
    """A row for one kind of overlap; a detection's size is that of its box or of its mask."""
    if "area" in row:
        return row
    if kind == "mask":
        return row | {"area": row["mask_area"], "iscrowd": 0}
    return row | {"area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0}


def _describe(box: Array, label: int, mask: Row | None) -> Row:
    left, top, right, bottom = (float(edge) for edge in box)
    row: Row = {"bbox": [left, top, right - left, bottom - top], "category_id": int(label) + 1}
    return row if mask is None else row | {"segmentation": mask["runs"], "mask_area": mask["area"]}


def _read_boxes(source: Mapping[str, Any], classes: int) -> tuple[Array, Array]:
    boxes, labels = np.asarray(source["boxes"], dtype=np.float64), np.asarray(source["labels"]).reshape(-1)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.shape != (len(labels), 4):
        raise ValueError(f"boxes are {list(boxes.shape)} and labels {list(labels.shape)}; not [N, 4] and [N]")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"a label lies outside [0, {classes})")
    return boxes, labels.astype(np.int64)


def _read_masks(
    detections: Mapping[str, Any], targets: Mapping[str, Any], found: int, objects: int
) -> tuple[tuple[int, int], list[list[Row | None]]]:
    masks = [np.asarray(source["masks"]) for source in (detections, targets)]
    if any(np.issubdtype(mask.dtype, np.floating) and mask.size for mask in masks):
        raise ValueError("masks are probabilities; compare them with a threshold first")
    shapes = {tuple(mask.shape[1:]) for mask, count in zip(masks, (found, objects), strict=True) if count}
    if [len(mask) for mask in masks] != [found, objects] or len(shapes) > 1:
        shown = " and ".join(str(list(mask.shape)) for mask in masks)
        raise ValueError(f"masks are {shown}; not [{found}, H, W] and [{objects}, H, W]")
    height, width = shapes.pop() if shapes else (1, 1)
    rows: list[list[Row | None]] = [
        [{"runs": encode_mask(mask), "area": float(np.count_nonzero(mask))} for mask in side] for side in masks
    ]
    return (height, width), rows


def _read_areas(targets: Mapping[str, Any], boxes: Array, masks: Sequence[Row | None]) -> Array:
    if "area" in targets:
        return np.asarray(targets["area"], dtype=np.float64).reshape(-1)
    if masks and masks[0] is not None:
        return np.array([mask["area"] for mask in masks if mask is not None])
    sides: Array = boxes[:, 2:] - boxes[:, :2]
    return sides.prod(1)


def _mean(precision: Array) -> float | None:
    """Percent, over what is defined."""
    defined = precision[precision > -1]
    return 100 * float(defined.mean()) if defined.size else None
