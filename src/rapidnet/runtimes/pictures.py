"""How does a picture of any shape become an artifact's input, and its outputs an answer in the picture's pixels?

For detectors and segmenters. Without torch, so that every runtime gives the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rapidnet.images import EncodedImage, Source, fit_size, load_image
from rapidnet.runtimes.detections import select_detections
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.resample import paste_masks, resize_bilinear

Picture = Source | Image.Image | Array
"""A file, an RGB image, or uint8 RGB [H, W, 3]."""
Answer = dict[str, Array]
"""What is found in a picture, in its pixels: boxes float32 [N, 4] (left, top, right, bottom), scores [N], the best
first, labels int64 [N] from 0 on, and masks bool [N, H, W] where the network gives any; or semantic, uint8 [H, W]."""
MASK_THRESHOLD = 0.5
STRIP_VALUES = 1 << 20
"""Logits enlarged at a time."""


@dataclass(frozen=True)
class Placed:
    """A picture as an artifact takes it.

    pixels: uint8 [3, H, W]; inside: (height, width) of the picture within them, from the upper left corner on;
    size: (height, width) of the picture itself.
    """

    pixels: Array
    inside: tuple[int, int]
    size: tuple[int, int]


def place_picture(picture: Picture, contract: dict[str, Any]) -> Placed:
    """Resize by Pillow's bilinear filter and pad as the card's `preprocessing` says; raises BadImageError."""
    if isinstance(picture, np.ndarray):
        image = Image.fromarray(picture)
    else:
        image = load_image(picture) if isinstance(picture, str | Path | EncodedImage) else picture
    full = contract["height"], contract["width"]
    size = image.height, image.width
    inside = full if contract["fit"] == "stretch" else fit_size(*size, contract["short_side"], contract["long_side"])
    if inside != size:
        image = image.resize((inside[1], inside[0]), Image.Resampling.BILINEAR)
    pixels = np.empty((3, *full), dtype=np.uint8)
    pixels[:] = np.array(contract["fill"], dtype=np.uint8)[:, None, None]
    pixels[:, : inside[0], : inside[1]] = np.asarray(image).transpose(2, 0, 1)
    return Placed(pixels, inside, size)


def answer_points(outputs: dict[str, Array], placed: Placed, card: dict[str, Any]) -> Answer:
    """boxes [1, A, 4] and scores [1, A, C] of every point -> those that are left after suppression."""
    rule = card["answers"]
    boxes, scores = outputs["boxes"][0].astype(np.float32), outputs["scores"][0].astype(np.float32)
    height, width = placed.inside
    boxes = np.minimum(boxes, np.array([width, height, width, height], dtype=np.float32))
    found = select_detections(
        boxes, scores, rule["score_threshold"], rule["iou_threshold"], rule["candidates"], rule["detections"]
    )
    return {"boxes": enlarge(found.boxes, placed), "scores": found.scores, "labels": found.labels}


def answer_slots(outputs: dict[str, Array], placed: Placed, card: dict[str, Any]) -> Answer:
    """boxes [1, D, 4], scores [1, D], labels [1, D] and perhaps masks [1, D, S, S] -> those with a score."""
    kept = outputs["scores"][0] > 0
    found = {name: outputs[name][0][kept] for name in ("boxes", "scores", "labels", "masks") if name in outputs}
    height, width = placed.inside
    boxes = np.minimum(found["boxes"].astype(np.float32), np.array([width, height, width, height], dtype=np.float32))
    # What lies in the padding alone is nothing.
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    answer: Answer = {
        "boxes": enlarge(boxes[inside], placed), "scores": found["scores"][inside],
        "labels": found["labels"][inside].astype(np.int64),
    }  # fmt: skip
    if "masks" in found:
        uncut = enlarge(found["boxes"][inside].astype(np.float32), placed)
        answer["masks"] = np.empty((len(uncut), *placed.size), dtype=bool)
        # One by one: as float32 the masks of a large photograph would take four times the memory.
        for i, mask in enumerate(found["masks"][inside]):
            answer["masks"][i] = paste_masks(mask[None], uncut[i : i + 1], placed.size)[0] >= MASK_THRESHOLD
    return answer


def answer_logits(outputs: dict[str, Array], placed: Placed, card: dict[str, Any]) -> Answer:
    """logits [1, C, H, W] -> the likeliest class of each of the picture's pixels."""
    logits = outputs["logits"][0]
    if logits.shape[1:] == placed.size:
        return {"semantic": logits.argmax(0).astype(np.uint8)}
    height, width = placed.size
    semantic = np.empty(placed.size, dtype=np.uint8)
    # In strips: the enlarged logits of a large photograph would take gigabytes.
    rows = max(1, STRIP_VALUES // (len(logits) * width))
    for start in range(0, height, rows):
        strip = slice(start, min(start + rows, height))
        semantic[strip] = resize_bilinear(logits, height, width, strip).argmax(0)
    return {"semantic": semantic}


def enlarge(boxes: Array, placed: Placed) -> Array:
    """Boxes [N, 4] in an artifact's pixels -> in the picture's."""
    (height, width), (own_height, own_width) = placed.size, placed.inside
    # In float32, as torchvision enlarges them.
    across, down = np.float32(width) / np.float32(own_width), np.float32(height) / np.float32(own_height)
    enlarged: Array = boxes * np.array([across, down, across, down], dtype=np.float32)
    return enlarged


# What a card says under answers, kind -> how outputs become an answer.
ANSWERS: dict[str, Callable[[dict[str, Array], Placed, dict[str, Any]], Answer]] = {
    "points": answer_points,
    "slots": answer_slots,
    "logits": answer_logits,
}
