"""Which boxes of a detector's raw answers are its detections? In numpy alone, equal to torchvision's batched_nms."""

from dataclasses import dataclass

import numpy as np

from rapidnet.runtimes.network import Array


@dataclass(frozen=True)
class Detections:
    """One image's: boxes [N, 4] (left, top, right, bottom), scores [N], labels int64 [N] from 0 on; the best first."""

    boxes: Array
    scores: Array
    labels: Array


def select_detections(
    boxes: Array, scores: Array, score_threshold: float = 0.05, iou_threshold: float = 0.6, candidates: int = 1000,
    detections: int = 100,
) -> Detections:  # fmt: skip
    """The detections among boxes [A, 4] with the scores [A, C] of every class.

    Only scores above score_threshold count, and of those the `candidates` highest. A box goes if a better one of its
    class overlaps it by more than iou_threshold (intersection over union); the `detections` best remain.
    """
    flat = scores.reshape(-1)
    index = np.flatnonzero(flat > np.float64(score_threshold))
    index = index[np.argsort(-flat[index], kind="stable")[:candidates]]
    labels, chosen = index % scores.shape[1], boxes[index // scores.shape[1]]
    kept = suppress(chosen, flat[index], labels, iou_threshold)[:detections]
    return Detections(chosen[kept], flat[index][kept], labels[kept].astype(np.int64))


def suppress(boxes: Array, scores: Array, labels: Array, iou_threshold: float) -> Array:
    """Non-maximum suppression class by class: boxes [K, 4], scores [K], labels [K] -> int64 [N], the best first.

    Of equal scores the earlier box is the better one.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, labels = boxes[order], labels[order]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = np.ones(len(boxes), dtype=bool)
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        rest = np.flatnonzero(alive[i + 1 :] & (labels[i + 1 :] == labels[i])) + i + 1
        sides = np.minimum(boxes[i, 2:], boxes[rest, 2:]) - np.maximum(boxes[i, :2], boxes[rest, :2])
        common = np.prod(np.maximum(sides, 0), axis=1)
        # Boxes without an area make 0 / 0, which is above no threshold.
        with np.errstate(invalid="ignore"):
            overlap = common / (areas[i] + areas[rest] - common)
        # A float32 beside a Python number would be compared in float32; torchvision compares in float64.
        alive[rest[overlap.astype(np.float64) > iou_threshold]] = False
    return order[alive].astype(np.int64)
