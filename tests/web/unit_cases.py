"""What does Python answer where the page has to answer alike? Written as files that the page's own tests read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rapidnet.benchmark.estimates import estimate
from rapidnet.evaluation.dense_colors import pick_colors
from rapidnet.images import prepare_image
from rapidnet.runtimes.bundle import compute_card_hash
from rapidnet.runtimes.detections import select_detections
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.pictures import ANSWERS, Placed, place_picture
from rapidnet.runtimes.resample import paste_masks, resize_bilinear

Case = dict[str, Any]
SIZES = [
    ((61, 47), (20, 13)), ((20, 13), (61, 47)), ((97, 31), (97, 8)), ((40, 90), (7, 90)), ((64, 64), (1, 1)),
    ((3, 2), (224, 7)), ((500, 333), (71, 48)), ((40, 100), (20, 20)), ((40, 81), (20, 40)),
    ((40, 80), (20, 40)), ((40, 41), (90, 40)),
]  # fmt: skip
CONTRACTS = [
    ((180, 133), {"image_size": 64, "crop_pct": 0.9, "interpolation": "bicubic"}),
    ((133, 180), {"image_size": 64, "crop_pct": 0.875, "interpolation": "bilinear"}),
    ((50, 50), {"image_size": 97, "crop_pct": 1.0, "interpolation": "nearest"}),
    ((40, 700), {"image_size": 32, "crop_pct": 0.95, "interpolation": "bicubic"}),
]
DENSE = [
    ((180, 133), {"fit": "pad", "height": 96, "width": 96, "short_side": 64, "long_side": 96, "fill": [124, 116, 104]}),
    ((30, 200), {"fit": "pad", "height": 96, "width": 96, "short_side": 64, "long_side": 96, "fill": [1, 2, 3]}),
    ((77, 99), {"fit": "stretch", "height": 32, "width": 64, "short_side": 32, "long_side": 64, "fill": [0, 0, 0]}),
]


def draw_picture(rng: np.random.Generator, width: int, height: int) -> Array:
    """Noise and edges: what a filter may ring at, uint8 [H, W, 3]."""
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = 255
    pixels[height // 2 :, width // 2 :, 1] = 0
    return pixels


def write_cases(folder: Path) -> None:
    """cases.json, whose words in capitals name arrays of arrays.npz; and cards with their hashes."""
    arrays: dict[str, Array] = {}
    cases: list[Case] = []
    for case in list_cases():
        for key, value in case.items():
            if isinstance(value, np.ndarray):
                name = f"A{len(arrays)}"
                arrays[name], case[key] = value, name
        cases.append(case)
    # One in column order, and one that no deflating makes smaller.
    arrays["columns"] = np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4))
    cases.append({"kind": "npz", "columns": "columns", "words": "words"})
    arrays["words"] = np.array(["real", "ängste", "x"])
    np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **arrays)
    np.savez(folder / "stored.npz", allow_pickle=False, **arrays)
    (folder / "cases.json").write_text(json.dumps(cases))


def list_cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for (width, height), to in SIZES:
        pixels = draw_picture(rng, width, height)
        for name in ("bilinear", "bicubic", "nearest"):
            resized = np.asarray(Image.fromarray(pixels).resize(to, Image.Resampling[name.upper()]))
            yield {
                "kind": "resize",
                "from": [width, height],
                "to": to,
                "filter": name,
                "pixels": pixels,
                "resized": resized,
            }
    for (width, height), contract in CONTRACTS:
        pixels = draw_picture(rng, width, height)
        placed = prepare_image(Image.fromarray(pixels), **contract)
        yield {
            "kind": "prepare",
            "from": [width, height],
            "contract": contract,
            "pixels": pixels,
            "placed": np.ascontiguousarray(placed),
        }
    for (width, height), contract in DENSE:
        pixels = draw_picture(rng, width, height)
        found = place_picture(pixels, contract)
        yield {
            "kind": "prepare",
            "from": [width, height],
            "contract": contract,
            "pixels": pixels,
            "placed": found.pixels,
            "inside": found.inside,
        }
    yield from list_detections(rng)
    maps = rng.normal(size=(5, 9, 13)).astype(np.float32)
    for height, width in ((40, 31), (9, 13), (4, 50)):
        yield {
            "kind": "enlarge",
            "maps": maps,
            "to": [height, width],
            "picked": resize_bilinear(maps, height, width).argmax(0).astype(np.uint8),
        }
    boxes = np.array([[3.2, 4.1, 30.7, 22.9], [-4, -3, 12, 60], [35, 20, 50.5, 44]], dtype=np.float32)
    masks = rng.random((3, 14, 14)).astype(np.float32)
    yield {
        "kind": "masks",
        "boxes": boxes,
        "masks": masks,
        "size": [40, 45],
        "pasted": (paste_masks(masks, boxes, (40, 45)) >= 0.5).astype(np.uint8),
    }
    yield from list_answers(rng)
    for scale in (0.01, 0.2):
        times = 20 + rng.gamma(2, scale, (12, 30))
        found = estimate(times)
        yield {"kind": "estimate", "times": times, "expected": vars(found)}
    yield {"kind": "colors", "colors": pick_colors(40)}
    for card in (
        {
            "b": 1e-05,
            "a": [90.0, float("inf"), -0.0, 1e22, 12],
            "ä\u2028😀\x7f": '"\\\n\t/é',
            "ﬁ": 1,
            "😀": {},
            "z": None,
        },
        {},
    ):
        yield {
            "kind": "card",
            "text": json.dumps(card | {"card_sha256": "x"}, indent=1),
            "sha256": compute_card_hash(card),
        }


def list_detections(rng: np.random.Generator) -> Iterator[Case]:
    for count, classes, candidates, most in ((60, 3, 1000, 100), (200, 2, 50, 7), (4, 1, 10, 10)):
        corners = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(0, 30, (count, 2))], axis=1).astype(np.float32)
        # Equal scores, and a box without an area.
        scores = (rng.integers(0, 40, (count, classes)) / 40).astype(np.float32)
        boxes[1] = boxes[1, [0, 1, 0, 1]]
        limits = {"score_threshold": 0.3, "iou_threshold": 0.5, "candidates": candidates, "detections": most}
        found = select_detections(boxes, scores, *limits.values())
        yield {"kind": "detections", "boxes": boxes, "scores": scores, "limits": limits,
               "found_boxes": found.boxes, "found_scores": found.scores, "found_labels": found.labels}  # fmt: skip


def list_answers(rng: np.random.Generator) -> Iterator[Case]:
    """Whole outputs with the answer that a card's rule makes of them."""
    placed = Placed(np.zeros((3, 64, 64), dtype=np.uint8), (48, 64), (151, 203))
    corners = rng.uniform(0, 60, (1, 9, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 25, (1, 9, 2))], axis=2).astype(np.float32)
    slots = {"boxes": boxes, "scores": np.linspace(0.9, -0.1, 9, dtype=np.float32)[None].clip(0),
             "labels": rng.integers(0, 4, (1, 9)).astype(np.float32),
             "masks": rng.random((1, 9, 14, 14)).astype(np.float32)}  # fmt: skip
    points = {"boxes": boxes, "scores": rng.random((1, 9, 4)).astype(np.float32)}
    limits = {"score_threshold": 0.2, "iou_threshold": 0.3, "candidates": 20, "detections": 6}
    for kind, outputs in (("slots", slots), ("points", points)):
        card = {"answers": {"kind": kind, **limits}}
        found = ANSWERS[kind](outputs, placed, card)
        named = {f"output.{name}": value for name, value in outputs.items()}
        named |= {
            f"found.{name}": value.astype(np.uint8) if value.dtype == bool else value for name, value in found.items()
        }
        yield {"kind": "answer", "card": card, "size": placed.size, "inside": placed.inside, **named}
