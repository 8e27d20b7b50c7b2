"""In which files do detections and class masks reach other tools? COCO results and index PNGs, whole or not at all."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rapidnet.data.dense_records import IGNORE
from rapidnet.data.object_masks import encode_mask
from rapidnet.environment import write_text_atomically
from rapidnet.evaluation.dense_colors import IGNORED_COLOR, pick_colors


def describe_detections(
    image_id: int, detections: Mapping[str, Any], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """The detections of one picture as rows of COCO's results format; masks, where there are any, as run lengths.

    Args:
        detections: as in `DetectionMeter.update`; category_ids: the numbers of the classes in the annotation file.
    """
    boxes = np.asarray(detections["boxes"], dtype=np.float64).reshape(-1, 4)
    rows: list[dict[str, Any]] = []
    for index, (left, top, right, bottom) in enumerate(boxes.tolist()):
        rows.append({
            "image_id": image_id,
            "category_id": category_ids[int(detections["labels"][index])],
            "bbox": [round(value, 3) for value in (left, top, right - left, bottom - top)],
            "score": float(detections["scores"][index]),
        })  # fmt: skip
        if "masks" in detections:
            runs = encode_mask(np.asarray(detections["masks"][index]))
            rows[-1]["segmentation"] = {"size": list(runs["size"]), "counts": runs["counts"].decode("ascii")}
    return rows


def write_detections(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write COCO's results format: a list of `describe_detections`' rows of all pictures."""
    write_text_atomically(path, json.dumps(list(rows)))


def write_index_mask(path: str | Path, mask: Any, classes: Sequence[str]) -> None:
    """Write the classes of pixels as a PNG of numbers, with a colour for each class to look at.

    Args:
        mask: integers [H, W], 0 to C - 1 or 255 (no class).
    Raises:
        ValueError: another shape, or a class that does not exist.
    """
    write_png(Path(path), draw_index_mask(mask, classes))


def draw_index_mask(mask: Any, classes: Sequence[str]) -> Image.Image:
    """The picture of numbers that `write_index_mask` writes; raises as that."""
    numbers = np.asarray(mask)
    if numbers.ndim != 2 or not np.isin(numbers, [*range(len(classes)), IGNORE]).all():
        raise ValueError(f"the mask is {list(numbers.shape)}, or holds a class outside [0, {len(classes)}); not [H, W]")
    image = Image.fromarray(numbers.astype(np.uint8)).convert("L")
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(classes)] = pick_colors(len(classes))
    palette[IGNORE] = IGNORED_COLOR
    image.putpalette(palette.ravel().tolist())
    return image


def write_png(path: Path, image: Image.Image) -> None:
    """Write a picture so that its name never stands for half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            image.save(file, format="PNG")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
