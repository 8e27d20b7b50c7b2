"""Does an artifact find in labelled pictures what its network finds: the same boxes, the same classes of pixels?

Needs no torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapidnet.evaluation.detection_metrics import DetectionMeter
from rapidnet.evaluation.segmentation_metrics import SegmentationMeter
from rapidnet.export.certificate import Control
from rapidnet.export.checks import Check, Tolerance
from rapidnet.export.prove import TaskProof
from rapidnet.runtimes.bundle import Bundle
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.pictures import Answer


@dataclass(frozen=True)
class Agreement:
    """When two answers are the same.

    iou, score: boxes of a class match from this overlap on, with scores no farther apart. edge: a box whose score is
    no farther from the threshold may be missing. matched, pixels: percent of boxes that match, of pixels of the same
    class, at least. points: average precision or mIoU may differ by so much, in percent. masks: the overlap of all
    masks of matched boxes together, in percent, at least.
    """

    iou: float
    score: float
    edge: float
    matched: float
    pixels: float
    points: float
    masks: float


AGREEMENTS = {
    "fp32": Agreement(0.99, 0.01, 0.001, 99.9, 99.99, 0.1, 99.9),
    "fp16": Agreement(0.95, 0.02, 0.01, 99.0, 99.5, 0.5, 99.0),
    "bf16": Agreement(0.8, 0.1, 0.05, 95.0, 98.0, 2.0, 95.0),
}


@dataclass(frozen=True)
class LabelledPictures:
    """A detector's or segmenter's.

    pictures: gone through again for every artifact, uint8 [H, W, 3] each with what is to be found in it; answers: the
    network's own, one a picture; validated: what it reaches with its pictures' own sizes (the results of the meter).
    """

    pictures: Iterable[tuple[Array, Mapping[str, Any]]]
    answers: list[Answer]
    classes: list[str]
    score: str
    validated: dict[str, Any]

    def judge(self, bundle: Bundle, tolerance: Tolerance, mode: str) -> TaskProof:
        """Agreement and score over all pictures, and the agreement with the classes moved on by one."""
        rule, segments = AGREEMENTS[mode], self.score == "miou"
        comparison: PixelAgreement | BoxAgreement
        comparison, moved = (
            PixelAgreement() if segments else BoxAgreement(rule, bundle.card["answers"]) for _ in range(2)
        )
        meters = {name: self.build_meter() for name in ("artifact", "network")}
        for own, (picture, targets) in zip(self.answers, self.pictures, strict=True):
            found = bundle.answer(picture)
            comparison.update(found, own)
            moved.update(self.move_classes(found), own)
            for name, answer in (("artifact", found), ("network", own)):
                self.measure(meters[name], answer, targets)
        results = {name: meter.compute() for name, meter in meters.items()}
        checks = [comparison.check(rule), self.check_score(results["artifact"], results["network"], rule)]
        if self.score == "mask_ap":
            overlap = comparison.figures["mask_overlap"]
            checks.append(Check("masks of matched boxes: overlap", overlap >= rule.masks, overlap, rule.masks, "%"))
        wrong = moved.check(rule)
        tripped = [] if wrong.passed else [wrong.name]
        figures = {
            "score": self.score,
            "images": len(self.answers),
            "agreement": comparison.share,
            "artifact": results["artifact"][self.score],
            "network": results["network"][self.score],
            "network_at_its_own_sizes": self.validated[self.score],
            "artifact_interval": results["artifact"].get(f"{self.score}_interval"),
            "network_interval": results["network"].get(f"{self.score}_interval"),
            **comparison.figures,
        }
        return TaskProof(checks, [Control("shuffled labels, by answers", bool(tripped), tripped)], figures)

    def build_meter(self) -> DetectionMeter | SegmentationMeter:
        if self.score == "miou":
            return SegmentationMeter(self.classes)
        return DetectionMeter(self.classes, self.score == "mask_ap")

    def measure(self, meter: DetectionMeter | SegmentationMeter, answer: Answer, targets: Mapping[str, Any]) -> None:
        if isinstance(meter, DetectionMeter):
            meter.update(targets["image_id"], answer, targets)
        else:
            meter.update(answer["semantic"], np.asarray(targets["semantic"]))

    def move_classes(self, answer: Answer) -> Answer:
        """The same with each class taken for the next."""
        key = "semantic" if "semantic" in answer else "labels"
        return answer | {key: ((answer[key].astype(np.int64) + 1) % len(self.classes)).astype(answer[key].dtype)}

    def check_score(self, artifact: Mapping[str, Any], network: Mapping[str, Any], rule: Agreement) -> Check:
        """Within `rule.points`, both in percent; where nothing is labelled there is no score, for neither."""
        name = {"miou": "mIoU", "box_ap": "box AP", "mask_ap": "mask AP"}[self.score]
        ours, theirs = artifact[self.score], network[self.score]
        if ours is None or theirs is None:
            return Check(f"{name}, artifact against network", ours is theirs, "none", "none, nothing is labelled", "%")
        text = f"{name} {ours:.2f}% against the network's {theirs:.2f}%: difference"
        return Check(text, abs(ours - theirs) <= rule.points, round(abs(ours - theirs), 3), rule.points, "%")


class PixelAgreement:
    """Counts the pixels in which two segmentations are the same."""

    def __init__(self) -> None:
        self.same = self.total = 0
        self.figures: dict[str, Any] = {}

    def update(self, found: Answer, own: Answer) -> None:
        self.same += int((found["semantic"] == own["semantic"]).sum())
        self.total += found["semantic"].size

    @property
    def share(self) -> float:
        return 100 * self.same / self.total

    def check(self, rule: Agreement) -> Check:
        name = f"labelled images: same class ({self.same} of {self.total} pixels)"
        return Check(name, self.share >= rule.pixels, round(self.share, 4), rule.pixels, "%")


class BoxAgreement:
    """Counts the boxes of either side that have a match on the other.

    Those whose score is at the threshold are left out: a last bit decides whether they are there. Where an answer is
    full, its last box is the threshold.
    """

    def __init__(self, rule: Agreement, limits: Mapping[str, Any]) -> None:
        self.rule, self.limits = rule, limits
        self.matched, self.total, self.at_the_edge = [0, 0], [0, 0], 0
        self.common = self.union = 0

    def update(self, found: Answer, own: Answer) -> None:
        pairs = match_boxes(found, own, self.rule.iou, self.rule.score)
        if "masks" in own:
            ours, theirs = found["masks"][pairs[:, 0]], own["masks"][pairs[:, 1]]
            self.common, self.union = self.common + int((ours & theirs).sum()), self.union + int((ours | theirs).sum())
        for side, answer in enumerate((found, own)):
            edge = self.limits["score_threshold"]
            if len(answer["scores"]) >= self.limits["detections"]:
                edge = max(edge, float(answer["scores"].min()))
            hit = np.isin(np.arange(len(answer["scores"])), pairs[:, side])
            near = ~hit & (answer["scores"] <= edge + self.rule.edge)
            self.at_the_edge += int(near.sum())
            self.matched[side] += int(hit.sum())
            self.total[side] += int((~near).sum())

    @property
    def share(self) -> float:
        """Percent, of both sides together; 0 where neither found anything."""
        return 100 * sum(self.matched) / sum(self.total) if sum(self.total) else 0.0

    @property
    def figures(self) -> dict[str, Any]:
        return {
            "boxes": self.total, "matched": self.matched, "boxes_at_the_threshold": self.at_the_edge,
            "mask_overlap": round(100 * self.common / self.union, 3) if self.union else 0.0,
        }  # fmt: skip

    def check(self, rule: Agreement) -> Check:
        (ours, theirs), (all_ours, all_theirs) = self.matched, self.total
        name = f"labelled images: same boxes ({ours} of {all_ours}, and {theirs} of the network's {all_theirs})"
        return Check(name, self.share >= rule.matched, round(self.share, 3), rule.matched, "%")


def match_boxes(found: Answer, own: Answer, iou: float, score: float) -> Array:
    """int64 [K, 2]: rows of `found` and of `own`, one to one, the best first, each with the nearest that is left."""
    overlaps = compute_overlaps(found["boxes"].astype(np.float64), own["boxes"].astype(np.float64))
    near = np.abs(found["scores"][:, None].astype(np.float64) - own["scores"][None]) <= score
    possible = (overlaps >= iou) & near & (found["labels"][:, None] == own["labels"][None])
    pairs = []
    for row in np.argsort(-found["scores"], kind="stable"):
        candidates = np.flatnonzero(possible[row])
        if len(candidates):
            best = candidates[overlaps[row, candidates].argmax()]
            pairs.append((row, best))
            possible[:, best] = False
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def compute_overlaps(a: Array, b: Array) -> Array:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4]; 1 where both are the same box without an area."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.maximum(sides, 0).prod(2)
    areas: list[Array] = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - common
    same = np.abs(a[:, None] - b[None]).max(2, initial=0) < 1e-3
    return np.where(same, 1.0, np.divide(common, union, out=np.zeros_like(common), where=union > 0))
