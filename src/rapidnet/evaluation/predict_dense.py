"""What objects are in these pictures, or what is each of their pixels? A line each, drawings, and files for others."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from rapidnet.config import PredictConfig
from rapidnet.data.dense_truth import Pixels
from rapidnet.environment import write_text_atomically
from rapidnet.evaluation.dense_files import describe_detections, write_index_mask, write_png
from rapidnet.evaluation.dense_pictures import draw_classes, draw_objects
from rapidnet.evaluation.dense_predictor import Answer, DensePredictor
from rapidnet.evaluation.picture_names import check_targets, find_root, name_pictures
from rapidnet.evaluation.picture_stream import PictureStream
from rapidnet.evaluation.read_ahead import Fetch, Name, as_it_is, read_batches
from rapidnet.images import BadImageError, load_image
from rapidnet.runtimes.network import Array

BATCH = 4
"""Pictures in one forward pass unless one asks otherwise: they are large, and so are a segmenter's answers."""
MASKS, DETECTIONS = "masks", "detections.json"


@dataclass(frozen=True)
class DensePrediction:
    """The answer for one picture, in pixels of its file, the surest objects first; or why it could not be read."""

    path: Name
    pixels: Pixels
    answer: Answer
    error: str = ""


def predict_dense(
    config: PredictConfig, predictor: DensePredictor, paths: Sequence[Name], fetch: Fetch = as_it_is
) -> int:
    """The predict command for a detector or segmenter.

    Raises:
        UserError: an unreadable picture under the policy 'error', none that can be read, copies that would overwrite
            a picture or one another.
    """
    saver = Saver(Path(config.save), predictor, [Path(path) for path in paths]) if config.save else None
    describe = describe_pixels if predictor.task == "semantic" else describe_objects
    stream = PictureStream(config, paths)
    predictions = predict_files(predictor, paths, config.batch_size or BATCH, config.threshold, fetch)
    for index, prediction in enumerate(stream.track(predictions)):
        row: dict[str, Any] = {"image": str(prediction.path)}
        if stream.passes_over(prediction.error):
            stream.print_json(row | {"error": prediction.error})
            continue
        if saver:
            saver.add(index, prediction)
        height, width = prediction.pixels.shape[:2]
        facts, line = describe(prediction.answer, predictor.classes)
        stream.show(row | {"width": width, "height": height} | facts, line)
    if saver and stream.unreadable < len(paths):
        saver.finish()
    stream.finish()
    return 0


def predict_files(
    predictor: DensePredictor, paths: Sequence[Name], batch_size: int, threshold: float, fetch: Fetch = as_it_is
) -> Iterator[DensePrediction]:
    """Predictions in the order of `paths`, of objects those of at least `threshold`; at most two batches are in
    memory."""

    def read(index: int) -> tuple[DensePrediction, Any]:
        path = paths[index]
        try:
            pixels = np.array(load_image(fetch(path)))
        except BadImageError as error:
            return DensePrediction(path, np.zeros((0, 0, 3), dtype=np.uint8), {}, str(error)), None
        return DensePrediction(path, pixels, {}), predictor.prepare(pixels)

    for batch in read_batches(read, len(paths), batch_size):
        good = [(one.pixels.shape[:2], prepared) for one, prepared in batch if not one.error]
        answers = iter(predictor.answer([prepared for _, prepared in good], [size for size, _ in good]))
        for one, _ in batch:
            if one.error:
                yield one
            else:
                yield DensePrediction(one.path, one.pixels, keep_sure(next(answers), threshold))


def keep_sure(answer: Answer, threshold: float) -> Answer:
    """The objects whose score is at least `threshold`, the surest first; classes of pixels as they are."""
    if "semantic" in answer:
        return answer
    order = np.argsort(-answer["scores"], kind="stable")
    order = order[answer["scores"][order] >= threshold]
    return {key: value[order] for key, value in answer.items()}


def describe_objects(answer: Answer, classes: Sequence[str]) -> tuple[dict[str, Any], str]:
    """For JSON: class, score, box and perhaps mask (COCO's run lengths) of each object; and a line of counts."""
    rows = describe_detections(0, answer, range(len(classes)))
    objects = []
    for row, box in zip(rows, answer["boxes"].tolist(), strict=True):
        mask = {"mask": row["segmentation"]} if "segmentation" in row else {}
        objects.append({
            "class": classes[row["category_id"]], "score": round(row["score"], 6),
            "box": [round(edge, 3) for edge in box], **mask,
        })  # fmt: skip
    counts: dict[str, list[float]] = {}
    for found in objects:
        counts.setdefault(found["class"], []).append(found["score"])
    words = [
        f"{len(scores)} {escape(name)} ({'best ' if len(scores) > 1 else ''}{100 * scores[0]:.1f}%)"
        for name, scores in counts.items()
    ]
    return {"detections": objects}, ", ".join(words) or "none"


def describe_pixels(answer: Answer, classes: Sequence[str]) -> tuple[dict[str, Any], str]:
    """For JSON: the share of the picture of each class that occurs, the largest first; and a line of them."""
    shares = measure_shares(answer["semantic"], len(classes))
    rows = [{"class": classes[label], "share": round(share, 6)} for label, share in shares]
    # What would be shown as 0.0 % says nothing to a person.
    shown = [f"{escape(classes[label])} {100 * share:.1f}%" for label, share in shares if share >= 0.0005]
    return {"classes": rows}, ", ".join(shown)


def measure_shares(labels: Array, num_classes: int) -> list[tuple[int, float]]:
    """Of each class that occurs in [H, W] its number and its share of the pixels in (0, 1], the largest first."""
    counts = np.bincount(labels.reshape(-1), minlength=num_classes)[:num_classes]
    shares: Array = counts / labels.size
    return [(int(label), float(shares[label])) for label in np.argsort(-shares, kind="stable") if shares[label]]


class Saver:
    """Writes drawings by the pictures' names, and masks/ beside them or, whole at the end, detections.json.

    Raises:
        UserError: files that would overwrite a picture or one another.
    """

    def __init__(self, folder: Path, predictor: DensePredictor, paths: Sequence[Path]) -> None:
        self.folder, self.paths, self.classes = folder, paths, predictor.classes
        self.category_ids = predictor.category_ids or list(range(1, len(self.classes) + 1))
        self.semantic = predictor.task == "semantic"
        self.names = name_pictures(paths)
        self.masks = [Path(MASKS) / name for name in self.names] if self.semantic else []
        check_targets(folder, [*self.names, *self.masks], paths)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, index: int, prediction: DensePrediction) -> None:
        """Draw the picture of `paths` at this place."""
        pixels, answer = prediction.pixels, prediction.answer
        if self.semantic:
            write_index_mask(self.folder / self.masks[index], answer["semantic"], self.classes)
            drawn = draw_classes(pixels, answer["semantic"], self.classes)
        else:
            self._note(prediction)
            drawn = draw_objects(pixels, answer, self.classes)
        write_png(self.folder / self.names[index], drawn)

    def finish(self) -> None:
        """Write the detections of all pictures as a COCO data set."""
        if self.semantic:
            return
        categories = [
            {"id": number, "name": name} for number, name in zip(self.category_ids, self.classes, strict=True)
        ]
        content = {"images": self.images, "annotations": self.annotations, "categories": categories}
        write_text_atomically(self.folder / DETECTIONS, json.dumps(content))

    def _note(self, prediction: DensePrediction) -> None:
        height, width = prediction.pixels.shape[:2]
        name = Path(prediction.path).relative_to(find_root(self.paths)).as_posix()
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        masks = prediction.answer.get("masks")
        for place, row in enumerate(describe_detections(number, prediction.answer, self.category_ids)):
            area = row["bbox"][2] * row["bbox"][3] if masks is None else int(np.count_nonzero(masks[place]))
            self.annotations.append({"id": len(self.annotations) + 1, "iscrowd": 0, "area": area} | row)
