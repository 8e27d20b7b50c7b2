"""How do the answers for a whole set of pictures reach its annotations' tools? As one file of detections, or a mask for
each picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rapidnet.config import DenseTask
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_truth import TruthRecords
from rapidnet.evaluation.dense_files import describe_detections, write_detections, write_index_mask
from rapidnet.evaluation.dense_images import number_classes
from rapidnet.evaluation.picture_names import name_pictures


class AnswerFiles(Protocol):
    """Takes the answers picture by picture; `name` is the file or folder, complete after `finish`."""

    name: str

    def add(self, index: int, image_id: int, answer: Mapping[str, Any]) -> None: ...

    def finish(self) -> None: ...


class NoFiles:
    """Nobody asked for the answers."""

    name = ""

    def add(self, index: int, image_id: int, answer: Mapping[str, Any]) -> None:
        pass

    def finish(self) -> None:
        pass


class DetectionsFile:
    """detections.json in COCO's results format, with the images' and the classes' numbers of the annotations."""

    name = "detections.json"

    def __init__(self, folder: Path, category_ids: Sequence[int]) -> None:
        self.folder, self.category_ids = folder, category_ids
        self.rows: list[dict[str, Any]] = []

    def add(self, index: int, image_id: int, answer: Mapping[str, Any]) -> None:
        self.rows += describe_detections(image_id, answer, self.category_ids)

    def finish(self) -> None:
        write_detections(self.folder / self.name, self.rows)


class MaskFiles:
    """masks/, with a PNG of class numbers by the name of each picture.

    Raises:
        UserError: two pictures that differ only in their endings.
    """

    name = "masks"

    def __init__(self, folder: Path, classes: Sequence[str], paths: Sequence[Path]) -> None:
        self.folder, self.classes, self.names = folder, classes, name_pictures(paths)

    def add(self, index: int, image_id: int, answer: Mapping[str, Any]) -> None:
        write_index_mask(self.folder / self.name / self.names[index], answer["semantic"], self.classes)

    def finish(self) -> None:
        pass


def open_answer_files(task: DenseTask, folder: Path, source: TruthRecords | BuiltinObjects) -> AnswerFiles:
    """What takes the answers for the pictures of `source`; nothing is written yet."""
    if task != "semantic":
        return DetectionsFile(folder, number_classes(source))
    if isinstance(source, BuiltinObjects):
        return MaskFiles(folder, source.classes, [Path(f"{index:06d}.png") for index in range(len(source))])
    return MaskFiles(folder, source.classes, [Path(record.path) for record in source.split.records])
