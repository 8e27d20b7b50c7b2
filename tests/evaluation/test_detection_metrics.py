"""Is average precision that of pycocotools on any corpus, and is nothing that a network can answer too odd for it?"""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rapidnet.data.dense_samples import RecordSource
from rapidnet.data.dense_sources import open_dense
from rapidnet.data.object_masks import encode_mask
from rapidnet.errors import UserError
from rapidnet.evaluation.detection_metrics import DetectionMeter

# The reference was written for an older numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = ["a", "b", "c"]
SUMMARY = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
Picture = tuple[dict[str, Any], dict[str, Any]]


def draw_masks(boxes: np.ndarray, size: int) -> np.ndarray:
    """Ellipses in the boxes; a box of a pixel is a pixel."""
    masks = np.zeros((len(boxes), size, size), dtype=bool)
    rows, columns = np.mgrid[:size, :size] + 0.5
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        x, y = (2 * columns - left - right) / (right - left), (2 * rows - top - bottom) / (bottom - top)
        mask[x**2 + y**2 <= 1] = True
        mask[int(top), int(left)] = True
    return masks


def random_boxes(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Of one pixel up to the whole picture; every other one on whole pixels."""
    corners = np.sort(rng.uniform(0, size, (count, 2, 2)), axis=1)
    corners[:, 1] = np.minimum(np.maximum(corners[:, 1], corners[:, 0] + 1), size)
    corners[:, 0] = np.minimum(corners[:, 0], size - 1)
    corners[::2] = np.stack([np.floor(corners[::2, 0]), np.ceil(corners[::2, 1])], axis=1)
    tiny = rng.random(count) < 0.1
    corners[tiny, 0] = np.floor(corners[tiny, 0])
    corners[tiny, 1] = corners[tiny, 0] + 1
    return corners.reshape(count, 4)


def random_corpus(seed: int, size: int = 128) -> list[Picture]:
    """Pictures with and without objects, crowds, answers, ties in score, and answers near objects."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(rng.integers(1, 7)):
        objects, strays = rng.integers(0, 7), rng.integers(0, 7)
        boxes = random_boxes(rng, objects, size)
        labels = rng.integers(0, rng.integers(1, 4), objects)
        near = np.repeat(np.arange(objects), rng.integers(0, 3, objects))
        moved = np.clip(boxes[near] + rng.normal(0, rng.choice([0, 1, 6]), (len(near), 4)), 0, size)
        moved[:, 2:] = np.minimum(np.maximum(moved[:, 2:], moved[:, :2] + 1), size)
        moved[:, :2] = np.minimum(moved[:, :2], moved[:, 2:] - 1)
        found = np.concatenate([moved, random_boxes(rng, strays, size)])
        answers = np.concatenate([labels[near], rng.integers(0, 3, strays)])
        truth = {
            "boxes": boxes, "labels": labels, "masks": draw_masks(boxes, size), "iscrowd": rng.random(objects) < 0.2
        }  # fmt: skip
        truth["area"] = truth["masks"].sum((1, 2)) * rng.uniform(0.9, 1.1, objects)
        # A few levels, so that many are equal.
        scores = rng.integers(1, rng.choice([3, 1000]), len(found)) / 1000
        detections = {"boxes": found, "labels": answers, "scores": scores, "masks": draw_masks(found, size)}
        pictures.append((detections, truth))
    return pictures


def measure(pictures: list[Picture], with_masks: bool = True) -> dict[str, Any]:
    meter = DetectionMeter(CLASSES, with_masks)
    for image_id, (detections, truth) in enumerate(pictures):
        meter.update(image_id, detections, truth)
    return meter.compute()


def xywh(box: np.ndarray) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def reference(pictures: list[Picture], size: int = 128) -> dict[str, float]:
    """box_ap, mask_ap... and per class, in percent, as pycocotools has them; -100 is undefined."""
    images = [{"id": number, "height": size, "width": size} for number in range(len(pictures))]
    truth, answers = [], []
    for number, (detections, objects) in enumerate(pictures):
        for index in range(len(objects["labels"])):
            truth.append({
                "id": len(truth) + 1, "image_id": number, "category_id": int(objects["labels"][index]) + 1,
                "bbox": xywh(objects["boxes"][index]), "segmentation": encode_mask(objects["masks"][index]),
                "iscrowd": int(objects["iscrowd"][index]), "area": objects["area"][index],
            })  # fmt: skip
        for index in range(len(detections["labels"])):
            answers.append({
                "image_id": number, "category_id": int(detections["labels"][index]) + 1,
                "score": detections["scores"][index], "bbox": xywh(detections["boxes"][index]),
                "segmentation": encode_mask(detections["masks"][index]),
            })  # fmt: skip
    result = {}
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO()
        api.dataset = {
            "images": images, "annotations": truth,
            "categories": [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)],
        }  # fmt: skip
        api.createIndex()
        for kind, iou in (("box", "bbox"), ("mask", "segm")):
            rows = [row if kind == "box" else {key: row[key] for key in row if key != "bbox"} for row in answers]
            if rows:
                loaded = api.loadRes(rows)
            else:
                # Of no answers at all, the reference makes an error.
                loaded = COCO()
                loaded.dataset = api.dataset | {"annotations": []}
                loaded.createIndex()
            evaluation = COCOeval(api, loaded, iou)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            result |= {f"{kind}_{name}": 100 * evaluation.stats[place] for place, name in enumerate(SUMMARY)}
            for label in range(len(CLASSES)):
                own = evaluation.eval["precision"][:, :, label, 0, 2]
                result[f"{kind}_ap_{label}"] = 100 * (own[own > -1].mean() if (own > -1).any() else -1)
    return result


def compare(got: dict[str, Any], expected: dict[str, float]) -> float:
    """The largest difference, in percent; infinite where one of the two is undefined."""
    values = {f"{kind}_{name}": got[f"{kind}_{name}"] for kind in ("box", "mask") for name in SUMMARY}
    for label, row in enumerate(got["per_class"]):
        values |= {f"{kind}_ap_{label}": row[f"{kind}_ap"] for kind in ("box", "mask")}
    assert values.keys() == expected.keys()
    return max(abs((-100 if values[key] is None else values[key]) - expected[key]) for key in values)


def test_precision_is_that_of_pycocotools() -> None:
    undefined = perfect = 0
    for seed in range(150):
        pictures = random_corpus(seed)
        got = measure(pictures)
        assert compare(got, reference(pictures)) < 1e-4, seed  # percent: 1e-6
        undefined += got["box_ap_large"] is None
        perfect += got["box_ap50"] == 100
    assert undefined > 5, "corpora without objects of a size were among them"
    # Negative control: one score changed among many is seen.
    seen = 0
    for seed in range(30):
        pictures = random_corpus(seed)
        expected = reference(pictures)
        for detections, _ in pictures:
            detections["scores"] = detections["scores"][::-1]
        seen += compare(measure(pictures), expected) > 1e-4
    assert seen > 10


def make(boxes: list[list[float]], labels: list[int], **more: Any) -> dict[str, Any]:
    return {"boxes": np.array(boxes, dtype=float).reshape(-1, 4), "labels": np.array(labels, dtype=int)} | more


def test_nothing_to_find_and_nothing_found() -> None:
    empty, box = make([], []), make([[2, 3, 9, 9]], [1])
    nothing = measure([(make([], [], scores=[]), empty)], with_masks=False)
    assert nothing["box_ap"] is None and nothing["per_class"][1]["box_ap"] is None and nothing["objects"] == 0
    assert measure([(make([], [], scores=[]), box)], with_masks=False)["box_ap"] == 0
    assert measure([(box | {"scores": [0.5]}, empty)], with_masks=False)["box_ap"] is None
    both = measure([(box | {"scores": [0.5]}, box), (box | {"scores": [0.9]}, empty)], with_masks=False)
    assert both["box_ap50"] == pytest.approx(50), "a surer answer where nothing is halves it"
    with pytest.raises(UserError, match="not one image"):
        DetectionMeter(CLASSES).compute()


def test_a_box_of_one_pixel_counts() -> None:
    dot = make([[5, 7, 6, 8]], [0])
    result = measure([(dot | {"scores": [1.0]}, dot)], with_masks=False)
    assert result["box_ap"] == pytest.approx(100) and result["box_ap_small"] == pytest.approx(100)
    assert result["box_ap_large"] is None
    beside = make([[6, 7, 7, 8]], [0], scores=[1.0])
    assert measure([(beside, dot)], with_masks=False)["box_ap"] == 0


def test_what_is_found_in_a_crowd_does_no_harm() -> None:
    truth = make([[0, 0, 50, 50], [60, 60, 90, 90]], [0, 0], iscrowd=np.array([True, False]))
    found = make([[0, 0, 50, 50], [10, 10, 20, 20], [60, 60, 90, 90]], [0, 0, 0], scores=[0.9, 0.8, 0.7])
    result = measure([(found, truth)], with_masks=False)
    assert result["box_ap"] == pytest.approx(100) and result["objects"] == 1
    truth["iscrowd"] = np.array([False, False])
    assert measure([(found, truth)], with_masks=False)["box_ap"] < 90
    truth["iscrowd"] = np.array([True, True])
    assert measure([(found, truth)], with_masks=False)["box_ap"] is None


def to_tensors(side: dict[str, Any]) -> dict[str, Any]:
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in side.items()}


def test_tensors_and_arrays_are_alike_and_meters_add_up() -> None:
    pictures = random_corpus(4) + random_corpus(9)
    expected = measure(pictures)
    first, second = DetectionMeter(CLASSES, True), DetectionMeter(CLASSES, True)
    for number, (detections, truth) in enumerate(pictures):
        as_tensors = [
            {key: torch.from_numpy(np.ascontiguousarray(side[key])) for key in side} for side in (detections, truth)
        ]
        (first if number % 2 else second).update(number, *as_tensors)
    first.update(0, *pictures[0])
    first.merge(second)
    got = first.compute()
    assert got["images"] == len(pictures) and compare(got, reference(pictures)) < 1e-4
    assert got["box_ap"] == pytest.approx(expected["box_ap"], abs=1e-9)


BOX = [[2.0, 3.0, 9.0, 9.0]]
NO_ANSWERS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (make(BOX, [3], scores=[1.0]), ValueError, "outside"),
    (make(BOX, [-1], scores=[1.0]), ValueError, "outside"),
    (make(BOX, [0, 1], scores=[1.0]), ValueError, r"\[N, 4\]"),
    (make(BOX, [0], scores=[1.0, 2.0]), ValueError, "scores"),
    (make([[2, 3, 9, np.nan]], [0], scores=[1.0]), UserError, "NaN or infinite"),
    (make(BOX, [0], scores=[np.inf]), UserError, "NaN or infinite"),
    (make(BOX, [0], scores=[1.0], masks=np.zeros((1, 9, 10), dtype=bool)), ValueError, "masks are"),
    (make(BOX, [0], scores=[1.0], masks=np.zeros((0, 10, 10), dtype=bool)), ValueError, "masks are"),
    (make(BOX, [0], scores=[1.0], masks=np.zeros((1, 10, 10))), ValueError, "threshold"),
]


@pytest.mark.parametrize(("broken", "error", "words"), NO_ANSWERS)
def test_what_is_no_answer_is_refused(broken: dict[str, Any], error: type[Exception], words: str) -> None:
    truth = make(BOX, [1], masks=np.zeros((1, 10, 10), dtype=bool))
    meter = DetectionMeter(CLASSES, with_masks="masks" in broken)
    with pytest.raises(error, match=words):
        meter.update(0, broken, truth)
    good = truth | {"scores": [1.0]}
    meter.update(0, good, truth)
    with pytest.raises(ValueError, match="image 0 was measured already"):
        meter.update(0, good, truth)


SHARED = Path(os.environ.get("RAPIDNET_TEST_DATA", "nowhere"))


@pytest.mark.skipif(not (SHARED / "coco480").is_dir(), reason="RAPIDNET_TEST_DATA names no folder with coco480")
def test_the_truth_of_real_photographs_has_a_precision_of_one() -> None:
    split = open_dense(SHARED / "coco480", "instance").val
    source, meter = RecordSource(split, "instance"), DetectionMeter(split.classes, with_masks=True)
    for index in range(len(source)):
        truth: Any = source.targets(index)
        single = ~truth["iscrowd"]
        found = {key: truth[key][single] for key in ("boxes", "labels", "masks")}
        meter.update(truth["image_id"], found | {"scores": torch.ones(len(found["labels"]))}, truth)
    result = meter.compute()
    assert all(result[f"{kind}_{name}"] == pytest.approx(100, abs=1e-4) for kind in ("box", "mask") for name in SUMMARY)
