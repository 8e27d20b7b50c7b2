"""How are a teacher's answers kept on disk, and when do they belong to a run?

A cache is a folder: `teacher.json` with the view it was made for, and for each epoch `epoch-0000.npy`, one row per
training image. Everything random about an image follows from the seed, so equal seeds give the student equal views.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapidnet.config import DistillationConfig, TrainConfig
from rapidnet.data.loading import Key, SizedDataset
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.training.choose import choose_sizes

INDEX = "teacher.json"
FORMAT = "rapidnet-teacher-1"
# Files that hold what was not asked of the teacher: an unreadable image.
ABSENT = -1


def describe_view(config: TrainConfig, dataset: SizedDataset, preprocessing: Preprocessing) -> dict[str, Any]:
    """All that decides which pixels the teacher sees of an image in an epoch."""
    names = "\n".join(getattr(dataset, "names", list)())
    mixed = bool(config.augment.mixup or config.augment.cutmix)
    view = {
        "seed": config.seed,
        "images": len(dataset),
        "names": hashlib.sha256(names.encode()).hexdigest(),
        "classes": dataset.classes,
        "preprocessing": preprocessing.to_dict(),
        "augment": asdict(config.augment),
        "sizes": choose_sizes(config),
        "repeated_augment": config.repeated_augment,
        # Who is mixed with whom depends on the batch.
        "batch_size": config.batch_size if mixed else None,
    }
    # As it will be read: JSON has no tuples.
    as_read: dict[str, Any] = json.loads(json.dumps(view))
    return as_read


def is_cache(path: str) -> bool:
    return (Path(path) / INDEX).is_file()


class CachedGuide:
    """A teacher's stored answers, by (epoch, index).

    Raises:
        UserError: a folder that is no cache, made for another view, or too short.
    """

    def __init__(self, config: DistillationConfig, epochs: int, view: dict[str, Any]) -> None:
        self.folder = Path(config.teacher)
        index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
        for name, value in view.items():
            if index["view"].get(name) != value:
                raise UserError(
                    f"teacher cache {self.folder} was made for another {name} ({_short(index['view'].get(name))}, not "
                    f"{_short(value)}); make it again with this run's options"
                )
        if index["epochs"] < epochs:
            raise UserError(
                f"teacher cache {self.folder} holds {index['epochs']} epochs and the run has {epochs}; "
                "make it again with as many"
            )
        if index["store"] == "hard" and config.type == "soft":
            raise UserError(
                f"teacher cache {self.folder} holds only the teacher's classes; "
                "soft distillation needs one made with --store logits"
            )
        self.num_classes, self.length = len(view["classes"]), int(view["images"])
        self.epoch, self.rows = -1, np.empty(0)

    def __call__(self, images: Tensor, keys: list[Key]) -> Tensor:
        """Logits [B, num_classes] for the images' keys; stored classes come as one-hot logits."""
        epoch = keys[0][0]
        if epoch != self.epoch:
            self.epoch, self.rows = epoch, np.load(self.folder / epoch_file(epoch), mmap_mode="r")
        rows = torch.from_numpy(np.array(self.rows[find_rows(keys, self.length)]))
        if rows.ndim == 1:
            absent = rows == ABSENT
            rows = torch.nn.functional.one_hot(rows.long().clamp(min=0), self.num_classes).float()
        else:
            absent = rows.isnan().any(1)
        if absent.any():
            key = keys[int(absent.nonzero()[0])]
            raise UserError(
                f"teacher cache {self.folder} has no answer for image {key[1]} of epoch {key[0] + 1}, which could not "
                "be read when it was made; make it again"
            )
        return rows.to(images.device)


def find_rows(keys: list[Key], length: int) -> list[int]:
    """The rows of these images' answers: repeated views follow after all first ones."""
    return [key[1] + (key[2] * length if len(key) > 2 else 0) for key in keys]


def epoch_file(epoch: int) -> str:
    return f"epoch-{epoch:04d}.npy"


def empty_rows(length: int, num_classes: int, store: str) -> np.ndarray[Any, Any]:
    """Room for one epoch's answers, all absent."""
    if store == "hard":
        return np.full(length, ABSENT, dtype=np.int32)
    return np.full((length, num_classes), np.nan, dtype=np.float32)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
