"""How are pictures run through a detector or segmenter, and how are its answers measured?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.dense_loading import ObjectBatch
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.evaluation.detection_metrics import DetectionMeter
from rapidnet.evaluation.segmentation_metrics import SegmentationMeter
from rapidnet.models.segmentation import FullSizeSegmenter, SemanticFPN

Size = tuple[int, int]
Answer = dict[str, Tensor]
"""What is found in a picture, in pixels of its file, on the CPU: boxes [N, 4], scores [N], labels [N] from 0 on and
perhaps masks bool [N, H, W]; or semantic, uint8 [H, W]."""
DensePredict = Callable[[Sequence[Tensor], Sequence[Size]], list[Answer]]
"""Maps pictures, uint8 [3, H, W] as preprocessing leaves them, and their files' (height, width) to answers."""
MASK_THRESHOLD = 0.5


def build_dense_predict(model: nn.Module, preprocessing: DensePreprocessing) -> DensePredict:
    """The answers of a network in eval mode, on the device and in the number format that its weights have.

    Pictures of one size are run together, others apart: no answer depends on what else is in the batch.
    """
    run = segment if isinstance(model, SemanticFPN) else detect

    def predict(images: Sequence[Tensor], sizes: Sequence[Size]) -> list[Answer]:
        answers: list[Answer] = [{} for _ in images]
        with torch.inference_mode():
            for rows in group_by_size(images):
                stacked = torch.stack([images[row] for row in rows])
                found = run(model, preprocessing, stacked, [sizes[row] for row in rows])
                for row, answer in zip(rows, found, strict=True):
                    answers[row] = answer
        return answers

    return predict


def group_by_size(images: Sequence[Tensor]) -> Iterator[list[int]]:
    """The places of pictures of one size, in the order of their first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(tuple(image.shape), []).append(row)
    yield from groups.values()


def detect(model: nn.Module, preprocessing: DensePreprocessing, images: Tensor, sizes: Sequence[Size]) -> list[Answer]:
    """uint8 [B, 3, H, W] -> boxes, and masks where the detector gives any, in files of these sizes."""
    weight = next(model.parameters())
    scaled = images.to(weight.device).to(weight.dtype) / 255
    transform: Any = model.transform
    transform.answer_sizes = list(sizes)
    try:
        found: list[Answer] = model(list(scaled))
    finally:
        transform.answer_sizes = None
    answers = []
    for answer in found:
        answer = {key: value.cpu() for key, value in answer.items()}
        if "masks" in answer:
            answer["masks"] = answer["masks"][:, 0] >= MASK_THRESHOLD
        answers.append(answer)
    return answers


def segment(model: nn.Module, preprocessing: DensePreprocessing, images: Tensor, sizes: Sequence[Size]) -> list[Answer]:
    """uint8 [B, 3, H, W], sides multiples of the stride -> the class of each pixel in files of these sizes."""
    weight = next(model.parameters())
    inputs = preprocessing.normalize(images.to(weight.device)).to(weight.dtype)
    logits = FullSizeSegmenter(model)(inputs.contiguous(memory_format=torch.channels_last)).float()  # type: ignore[arg-type]
    return [{"semantic": classify_pixels(row, size).cpu()} for row, size in zip(logits, sizes, strict=True)]


def classify_pixels(logits: Tensor, size: Size) -> Tensor:
    """Logits [C, h, w] -> the likeliest class of each pixel, uint8 [H, W] of `size`; bilinear in between."""
    if logits.shape[1:] != size:
        logits = F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
    return logits.argmax(0).to(torch.uint8)


def measure_dense(
    predict: DensePredict, loader: Iterable[ObjectBatch], meter: DetectionMeter | SegmentationMeter,
    bad_samples: BadSampleLog, on_batch: Callable[[int], None] = lambda images: None,
) -> None:  # fmt: skip
    """Fill `meter`; `on_batch` hears how many images each batch asked for."""
    for batch in loader:
        bad_samples.record(batch.bad)
        answers = predict(batch.images, [targets["size"] for targets in batch.targets])
        for answer, targets in zip(answers, batch.targets, strict=True):
            if isinstance(meter, DetectionMeter):
                meter.update(targets["image_id"], answer, targets)
            else:
                meter.update(answer["semantic"].numpy(), targets["semantic"].numpy())
        on_batch(len(batch.keys))
