"""Tiny folders of labelled objects and pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 60


def write_picture(path: Path, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rough = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return path


def rectangle(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number: int, image: int, box: tuple[float, float, float, float], category: int = 5, **more: Any) -> dict:
    """A COCO annotation of a rectangle (left, top, right, bottom)."""
    left, top, right, bottom = box
    row = {
        "id": number, "image_id": image, "category_id": category, "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top),
        "segmentation": rectangle(*box),
    }  # fmt: skip
    return row | more


def coco_content(images: int = 4) -> dict[str, Any]:
    """Two objects on every picture but the last, which has none; the second of each is of the other category."""
    rows = []
    for number in range(1, images):
        rows.append(annotation(2 * number, number, (2, 3, 20 + number, 30)))
        rows.append(annotation(2 * number + 1, number, (30.5, 10, 50, 35.25), category=9))
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
            for number in range(1, images + 1)
        ],
        "annotations": rows,
        "categories": [{"id": 9, "name": "dog"}, {"id": 5, "name": "cat"}],
    }


def write_coco(root: Path, content: dict[str, Any] | None = None, name: str = "train", images: int = 4) -> Path:
    """root/annotations/instances_<name>.json and root/<name>/<n>.png."""
    for number in range(1, images + 1):
        write_picture(root / name / f"{number}.png", number)
    path = root / "annotations" / f"instances_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(coco_content(images) if content is None else content))
    return path


def write_yolo(root: Path, name: str = "train", images: int = 3) -> Path:
    """root/images/<name>/<n>.png, root/labels/<name>/<n>.txt (the last picture has none) and root/classes.txt."""
    for number in range(images):
        write_picture(root / "images" / name / f"{number}.png", number)
        labels = root / "labels" / name / f"{number}.txt"
        labels.parent.mkdir(parents=True, exist_ok=True)
        if number < images - 1:
            labels.write_text("0 0.5 0.5 0.5 0.25\n1 0.1 0.2 0.1 0.2\n")
    (root / "classes.txt").write_text("cat\ndog\n")
    return root


def write_masks(root: Path, name: str = "train", images: int = 3, classes: int = 3, first: int = 0) -> Path:
    """root/images/<name>/<n>.png, root/masks/<name>/<n>.png (see `striped`) and root/classes.json."""
    for number in range(images):
        write_picture(root / "images" / name / f"{number}.png", number)
        write_mask(root / "masks" / name / f"{number}.png", striped(classes, first))
    (root / "classes.json").write_text(json.dumps([f"class {index}" for index in range(classes)]))
    return root


def striped(classes: int = 3, first: int = 0) -> np.ndarray:
    """Ten columns of each class, then 255."""
    mask = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    for index in range(classes):
        mask[:, 10 * index : 10 * index + 10] = first + index
    return mask


def write_mask(path: Path, mask: np.ndarray, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(path)
    return path
