"""What is done with a picture before the network and after it? The same as rapidnet predict does, for every task."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from rapidnet.data.object_masks import MAX_MASK_BYTES
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import Prediction, rank_classes
from rapidnet.evaluation.predict_dense import describe_objects, describe_pixels, keep_sure
from rapidnet.images import prepare_image
from rapidnet.runtimes.bundle import Bundle
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.pictures import ANSWERS, Placed, place_picture
from rapidnet.serving.pictures import Upload, read_picture


@dataclass(frozen=True)
class Prepared:
    """A picture as the network takes it: uint8 [3, H, W]; `placed` says where it lies, for answers in its pixels."""

    pixels: Array
    placed: Placed | None = None


class Answerer(Protocol):
    """One task's way from bytes to JSON. `quick`: describing takes no time worth a thread."""

    quick: bool

    def prepare(self, upload: Upload) -> Prepared:
        """Raises RefusedError."""

    def compute(self, pixels: Array) -> Sequence[Any]:
        """uint8 [B, 3, H, W] -> what `describe` takes, for each."""

    def describe(self, computed: Any, prepared: Prepared, asked: float) -> dict[str, Any]:
        """The answer to one picture; asked: the number of classes, or the least probability."""


class ClassAnswerer:
    """Of a classifier, for images of one label or several."""

    quick = True

    def __init__(self, bundle: Bundle, max_pixels: int) -> None:
        self.bundle, self.max_pixels = bundle, max_pixels
        self.classes, self.several = bundle.classes, bundle.task == "multilabel"
        contract = bundle.card["preprocessing"]
        self.view = contract["image_size"], contract["crop_pct"], contract["interpolation"]

    def prepare(self, upload: Upload) -> Prepared:
        return Prepared(prepare_image(read_picture(upload, self.max_pixels), *self.view))

    def compute(self, pixels: Array) -> Sequence[Array]:
        return list(self.bundle.predict(pixels))

    def describe(self, computed: Array, prepared: Prepared, asked: float) -> dict[str, Any]:
        top, least = (len(self.classes), asked) if self.several else (int(asked), 0.0)
        said = Prediction(Path(), rank_classes(computed, self.classes, top, least)).to_dict()
        return {"predictions": said["predictions"]}


class DenseAnswerer:
    """Of a detector or segmenter."""

    quick = False

    def __init__(self, bundle: Bundle, max_pixels: int) -> None:
        self.bundle, self.max_pixels = bundle, bound_pixels(bundle, max_pixels)
        self.classes, self.card = bundle.classes, bundle.card
        self.find = ANSWERS[bundle.card["answers"]["kind"]]

    def prepare(self, upload: Upload) -> Prepared:
        placed = place_picture(read_picture(upload, self.max_pixels), self.card["preprocessing"])
        return Prepared(placed.pixels, placed)

    def compute(self, pixels: Array) -> Sequence[dict[str, Array]]:
        outputs = self.bundle.run(pixels)
        return [{name: value[i : i + 1] for name, value in outputs.items()} for i in range(len(pixels))]

    def describe(self, computed: dict[str, Array], prepared: Prepared, asked: float) -> dict[str, Any]:
        placed = prepared.placed
        assert placed is not None
        answer = keep_sure(self.find(computed, placed, self.card), asked)
        size = {"width": placed.size[1], "height": placed.size[0]}
        if "semantic" not in answer:
            return size | describe_objects(answer, self.classes)[0]
        return size | describe_pixels(answer, self.classes)[0] | {"class_map": encode_png(answer["semantic"])}


def bound_pixels(bundle: Bundle, max_pixels: int) -> int:
    """The largest picture whose masks, a byte a pixel each, fit into memory."""
    slots = [output["shape"][1] for output in bundle.card["outputs"] if output["name"] == "masks"]
    return min([max_pixels, *(MAX_MASK_BYTES // max(1, count) for count in slots)])


def encode_png(numbers: Array) -> str:
    """uint8 [H, W] as a grey PNG in base64."""
    buffer = io.BytesIO()
    # Class maps are flat: the fastest compression makes them small, too.
    Image.fromarray(np.ascontiguousarray(numbers)).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def build_answerer(bundle: Bundle, max_pixels: int) -> Answerer:
    """Raises UserError for a bundle of features alone, which answers nothing."""
    if "output" in bundle.card:
        return ClassAnswerer(bundle, max_pixels)
    if bundle.card.get("answers", {}).get("kind") not in ANSWERS:
        raise UserError(
            f"{bundle.path} answers with {', '.join(bundle.output_names)} alone; export it with --part whole"
        )
    return DenseAnswerer(bundle, max_pixels)
