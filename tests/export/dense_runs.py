"""Runs of detectors and segmenters, as training leaves them, without the training."""

from pathlib import Path
from typing import Any

import torch

from conftest import TINY, randomize
from rapidnet.data.builtin import CLASSES
from rapidnet.data.builtin_objects import SEMANTIC_CLASSES
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.models.dense import DenseNetwork
from rapidnet.training.checkpoint import Progress, save_checkpoint

SIDE = 64
NARROW: dict[str, dict[str, Any]] = {
    "fcos": {"pyramid_channels": 8},
    "semantic_fpn": {"pyramid_channels": 8, "head_channels": 8},
    "mask_rcnn": {"pyramid_channels": 8, "box_width": 16, "mask_channels": 8, "mask_convs": 1},
    "faster_rcnn": {"pyramid_channels": 8, "box_width": 16},
}
TASKS = {"fcos": "detect", "faster_rcnn": "detect", "mask_rcnn": "instance", "semantic_fpn": "semantic"}
# What an untrained head has to be multiplied by for its answers to differ from point to point.
LOUD = ("cls_logits", "bbox_reg", "bbox_ctrness", "classifier", "cls_score", "bbox_pred")


def write_run(
    folder: Path, head: str, data: dict[str, Any] | None = None, classes: list[str] | None = None,
    sides: tuple[int, int] = (SIDE, SIDE), backbone: dict[str, Any] | None = None, **options: Any,
) -> Path:  # fmt: skip
    """A run folder with one checkpoint of a network with random weights that finds something in most pictures."""
    task: Any = TASKS[head]
    classes = classes or (SEMANTIC_CLASSES if task == "semantic" else CLASSES)
    torch.manual_seed(0)
    network = DenseNetwork(
        task, head, "rapidnet_ti", len(classes), *sides, {**NARROW[head], **options}, backbone or dict(TINY)
    )
    model = randomize(network.build())
    with torch.no_grad():
        for name, layer in model.named_modules():
            if name.rpartition(".")[2] in LOUD and isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.weight.mul_(10)
    features: Any = model.backbone.features
    preprocessing = DensePreprocessing(*sides, features.mean, features.std, align=task == "semantic")
    metadata = network.to_metadata() | {
        "classes": classes, "category_ids": list(range(1, len(classes) + 1)), "preprocessing": preprocessing.to_dict(),
        "data": data or {"root": "builtin", "val_length": 12, "image_size": SIDE},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(folder / "best.safetensors", model, None, None, Progress(), metadata)
    return folder
