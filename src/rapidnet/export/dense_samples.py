"""On which pictures is a detector's or segmenter's artifact proved, and what does the network itself find in them?"""

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList

from rapidnet.config.export import ExportConfig
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_truth import BadRecordError, Truth, TruthRecords
from rapidnet.data.index_masks import BadMaskError
from rapidnet.errors import UserError
from rapidnet.evaluation.dense import build_dense_predict
from rapidnet.evaluation.dense_images import open_dense_images
from rapidnet.evaluation.trained_dense import TrainedDense
from rapidnet.images import BadImageError, fit_size
from rapidnet.models.detection_overrides import RoundedTransform
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.pictures import Answer, Placed, answer_slots, place_picture


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures, decoded anew whenever they are gone through; `origin` says where they are from."""

    source: TruthRecords | BuiltinObjects
    indices: Sequence[int]
    origin: str

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[tuple[Array, Truth]]:
        """uint8 RGB [H, W, 3] and what is to be found in it; unreadable ones are left out."""
        for index in self.indices:
            try:
                yield self.source.read(index)
            except (BadImageError, BadMaskError, BadRecordError):
                continue

    def take(self, count: int) -> Iterator[tuple[Array, Truth]]:
        return islice(self, count)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each."""
        source = self.source
        if isinstance(source, TruthRecords):
            return [(source.split.records[index].height, source.split.records[index].width) for index in self.indices]
        return [(source.image_size, source.image_size)] * len(self)


def open_pictures(trained: TrainedDense, config: ExportConfig) -> Pictures:
    """`config.check_images` validation pictures (0: all) drawn by a fixed seed, in the order of the data.

    Raises:
        UserError: data that is not there or does not fit the network.
    """
    made_from = trained.metadata["data"]
    name = str(trained.metadata["model"])
    source, _ = open_dense_images(name, trained.network.task, trained.classes, made_from, config.data, "skip")
    chosen = np.random.default_rng(0).permutation(len(source))[: config.check_images or len(source)]
    origin = f"{config.data or made_from['root']}, validation images"
    return Pictures(source, sorted(chosen.tolist()), origin)


def choose_size(trained: TrainedDense, pictures: Pictures, image_size: int) -> tuple[int, int]:
    """(height, width) of the artifact's input: as asked for; else, in detection, the square that every picture fits
    into, and in segmentation the size that most pictures have as the network was validated."""
    if image_size:
        return image_size, image_size
    rule = trained.preprocessing
    if not rule.align:
        side = -(-rule.long_side // rule.multiple) * rule.multiple
        return side, side
    fitted = [fit_size(height, width, rule.short_side, rule.long_side) for height, width in pictures.sizes]
    aligned = [tuple(-(-side // rule.multiple) * rule.multiple for side in size) for size in fitted]
    height, width = Counter(aligned).most_common(1)[0][0]
    return height, width


def describe_preprocessing(trained: TrainedDense, size: tuple[int, int], asked: int) -> dict[str, Any]:
    """How a picture becomes the artifact's input, for the card; see `runtimes.pictures.place_picture`."""
    rule = trained.preprocessing
    sides = {"short_side": asked, "long_side": asked} if asked else {}
    steps = ["decode, apply the EXIF orientation, convert to RGB"]
    if rule.align:
        steps += ["resize to height x width, antialiased bilinear, as Pillow does"]
    else:
        steps += [
            "resize to the largest size within short_side and long_side, antialiased bilinear, as Pillow does",
            "pad to height x width at the right and the bottom, with the colour fill",
        ]
    return rule.to_dict() | sides | {
        "height": size[0], "width": size[1], "fit": "stretch" if rule.align else "pad", "fill": list(rule.fill),
        "steps": steps,
    }  # fmt: skip


class PlacedTransform(RoundedTransform):
    """Takes pictures that are placed already, normalises them, and knows how much of each is picture."""

    inside: tuple[int, int] = (0, 0)

    def postprocess(self, result: list[dict[str, Tensor]], *sizes: Any) -> list[dict[str, Tensor]]:
        # Without sizes to answer for, boxes and masks stay as they are: `answer_slots` does the rest for both sides.
        return super().postprocess(result, *sizes) if self.answer_sizes else result

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[ImageList, Any]:
        return ImageList(torch.stack([self.normalize(image) for image in images]), [self.inside] * len(images)), targets


def answer_eagerly(trained: TrainedDense, pictures: Pictures, contract: dict[str, Any]) -> list[Answer]:
    """What the network, not folded, finds in each picture as it is placed for the artifact: torchvision's suppression,
    in float32."""
    model: Any = deepcopy(trained.model)
    detects, slots = hasattr(model, "transform"), hasattr(model, "roi_heads")
    if detects:
        model.transform.__class__ = PlacedTransform
    predict = build_dense_predict(model, trained.preprocessing)
    answers = []
    for image, _ in pictures:
        placed: Placed = place_picture(image, contract)
        pixels = torch.from_numpy(placed.pixels)
        if slots:
            # The artifact chooses boxes before it knows how much of its input is picture.
            model.transform.inside = placed.pixels.shape[1:]
            with torch.inference_mode():
                (found,) = model([pixels / 255])
            masks = {"masks": found["masks"][:, 0]} if "masks" in found else {}
            outputs = {name: found[name] for name in ("boxes", "scores", "labels")} | masks
            answers.append(answer_slots({name: value[None].numpy() for name, value in outputs.items()}, placed, {}))
            continue
        if detects:
            model.transform.inside = placed.inside
        (answer,) = predict([pixels], [placed.size])
        answers.append({name: value.numpy() for name, value in answer.items()})
    if not answers:
        raise UserError(f"none of the images of {pictures.origin} could be read; see rapidnet data audit")
    return answers
