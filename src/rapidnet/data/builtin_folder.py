"""How is the built-in data looked at with other tools? As folders of PNG files with COCO boxes and index masks."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from rapidnet.config import BuiltinConfig
from rapidnet.data.builtin import CLASSES, BuiltinScenes
from rapidnet.environment import write_text_atomically
from rapidnet.errors import UserError


def run_builtin(config: BuiltinConfig) -> int:
    """The data builtin command."""
    console = Console()
    write_builtin(config, console)
    console.print(
        f"{config.train_length} training and {config.val_length} validation scenes in [bold]{config.output}[/bold]; "
        f"rapidnet train --data {config.output} trains on them"
    )
    return 0


def write_builtin(config: BuiltinConfig, console: Console) -> None:
    """Write train/<class>/*.png and val/<class>/*.png; annotations/<split>.json (COCO) and masks/<split>/*.png beside.

    A mask is a palette image: 0 is background, k + 1 is class k.

    Raises:
        UserError: the folder holds something already.
    """
    root = Path(config.output)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"--output {root} is not empty; choose another folder")
    lengths: dict[Literal["train", "val"], int] = {"train": config.train_length, "val": config.val_length}
    for split, length in lengths.items():
        scenes = BuiltinScenes(split, length, config.image_size, config.seed)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in track(range(length), f"{split} scenes", console=console, transient=True):
            scene = scenes.scene(index)
            label, name = int(scene.labels[0]), f"{index:06d}.png"
            file = Path(split) / CLASSES[label] / name
            _save(Image.fromarray(scene.image), root / file)
            _save(_index_image(scene.masks[0], label), root / "masks" / split / name)
            images.append(
                {"id": index, "file_name": str(file), "width": config.image_size, "height": config.image_size}
            )
            annotations.append(describe_object(index, label, scene.boxes[0], scene.masks[0]))
        write_text_atomically(root / "annotations" / f"{split}.json", json.dumps({
            "images": images,
            "annotations": annotations,
            "categories": [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)],
        }))  # fmt: skip


def describe_object(index: int, label: int, box: Any, mask: Any) -> dict[str, Any]:
    """A COCO annotation; the mask as uncompressed run lengths in column order, starting with the zeros."""
    left, top, right, bottom = (float(edge) for edge in box)
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    if flat[0]:
        counts = [0, *counts]
    return {
        "id": index + 1, "image_id": index, "category_id": label + 1, "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top], "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": counts},
    }  # fmt: skip


def _index_image(mask: Any, label: int) -> Image.Image:
    image = Image.fromarray(np.where(mask, label + 1, 0).astype(np.uint8), mode="P")
    image.putpalette([channel for index in range(len(CLASSES) + 1) for channel in (index * 25, 255 - index * 20, 80)])
    return image


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
