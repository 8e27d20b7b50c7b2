"""What does the released trainer's recipe cost when it is run plainly? The baseline of scripts/throughput.py.

Written from the recipe (224 px, RandAugment, erasing, mixup, CutMix, AdamW, averaged weights) with timm's own parts,
the way such trainers put them together: Pillow images, every sample a normalised float32 tensor, NCHW, float32.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import Mixup, create_transform
from timm.loss import SoftTargetCrossEntropy
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

SETTING = "rand-m9-mstd0.5-inc1"


def build_plain_transform(size: int) -> Any:
    """timm's training transform as the recipe asks for it; RandAugment takes the place of colour jitter in it."""
    transform = create_transform(
        input_size=size, is_training=True, color_jitter=0.4, auto_augment=SETTING, interpolation="bicubic",
        re_prob=0.25, re_mode="pixel", re_count=1,
    )  # fmt: skip
    mend_posterize(transform)
    return transform


def mend_posterize(transform: Any) -> None:
    """Pillow 13 refuses to keep no bits, which stops the plain recipe; older ones made such an image black."""

    def mended(plain: Callable[..., Image.Image]) -> Callable[..., Image.Image]:
        return lambda image, bits, **kwargs: plain(image, bits, **kwargs) if bits else Image.new("RGB", image.size)

    for operation in transform.transforms[2].ops:
        if operation.name == "PosterizeIncreasing":
            operation.aug_fn = mended(operation.aug_fn)


def read_picture(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


class PlainImages(Dataset[tuple[Tensor, int]]):
    """A folder of classes, one transformed sample at a time."""

    def __init__(self, root: Path, size: int) -> None:
        self.paths = sorted(root.glob("*/*"))
        self.classes = sorted({path.parent.name for path in self.paths})
        self.transform = build_plain_transform(size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.paths[index]
        image: Tensor = self.transform(read_picture(path))
        return image, self.classes.index(path.parent.name)


class PlainTrainer:
    """Model, optimizer and averaging of the recipe; `step` trains on one batch."""

    def __init__(self, root: Path, size: int, batch_size: int, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.images, self.batch_size = PlainImages(root, size), batch_size
        classes = len(self.images.classes)
        self.loader = DataLoader(self.images, batch_size, shuffle=True, drop_last=True, collate_fn=default_collate)
        self.mixup = Mixup(0.8, 1.0, prob=1.0, switch_prob=0.5, label_smoothing=0.1, num_classes=classes)
        self.model = timm.create_model("rapidnet_ti", num_classes=classes, drop_path_rate=0.1).train()
        self.ema = ModelEmaV3(self.model, decay=0.99996)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=0.05, eps=1e-8)
        self.loss = SoftTargetCrossEntropy()

    def step(self, images: Tensor, labels: Tensor) -> float:
        images, targets = self.mixup(images, labels)
        loss = self.loss(self.model(images), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.ema.update(self.model)
        return loss.item()
