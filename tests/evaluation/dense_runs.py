"""Run folders of small detectors and segmenters, as training on the built-in data leaves them."""

from pathlib import Path

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from conftest import TINY, randomize
from evaluation.dense_folders import SIDE
from rapidnet.config import DenseTask
from rapidnet.config.dense import HEADS
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.models.dense import DenseNetwork
from rapidnet.training.checkpoint import Progress, save_checkpoint

OPTIONS = {
    "detect": {"pyramid_channels": 16},
    "instance": {
        "pyramid_channels": 16, "box_width": 32, "mask_channels": 16, "mask_convs": 1, "proposals_per_level_test": 50,
        "proposals_test": 50, "detections": 20,
    },
    "semantic": {"pyramid_channels": 16, "head_channels": 16},
}  # fmt: skip


def write_run(folder: Path, task: DenseTask) -> Path:
    """best.safetensors of a network whose weights are random and whose validation is four scenes."""
    torch.manual_seed(0)
    classes = BuiltinObjects("val", 1, SIDE, task).classes
    network = DenseNetwork(task, HEADS[task][0], "rapidnet_ti", len(classes), SIDE, SIDE, OPTIONS[task], dict(TINY))
    preprocessing = DensePreprocessing(
        SIDE, SIDE, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, align=task == "semantic"
    )
    metadata = network.to_metadata() | {
        "classes": classes, "category_ids": [], "preprocessing": preprocessing.to_dict(), "bad_samples": {},
        "data": {"root": "builtin", "val_fraction": 0.1, "seed": 0, "holdout": False, "exclude": "", "val_length": 4,
                 "image_size": SIDE},
    }  # fmt: skip
    folder.mkdir(parents=True)
    save_checkpoint(folder / "best.safetensors", randomize(network.build()), None, None, Progress(), metadata)
    return folder
