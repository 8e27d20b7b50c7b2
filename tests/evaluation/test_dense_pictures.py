"""Do pictures show what they were given, at any size, and do files say it to other tools, whole or not at all?"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from rapidnet.data.index_masks import read_mask
from rapidnet.evaluation import dense_files
from rapidnet.evaluation.dense_colors import pick_colors
from rapidnet.evaluation.dense_files import describe_detections, write_detections, write_index_mask
from rapidnet.evaluation.dense_pictures import OPACITY, blend, draw_classes, draw_objects

GREY = np.full((100, 160, 3), 128, dtype=np.uint8)
# The reference was written for an older numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = ["cat", "dog", "a very long name of a class that does not fit"]


def objects(**more: object) -> dict:
    masks = np.zeros((2, 100, 160), dtype=bool)
    masks[0, 40:60, 20:50] = masks[1, 50:90, 100:150] = True
    return {
        "boxes": np.array([[20, 40, 50, 60], [100, 50, 150, 90]]), "labels": np.array([0, 1]),
        "scores": np.array([0.9, 0.4]), "masks": masks,
    } | more  # fmt: skip


def color_at(picture: Image.Image, x: float, y: float, scale: float = 4.8) -> np.ndarray:
    return np.asarray(picture)[round(y * scale), round(x * scale)].astype(int)


def test_masks_and_boxes_are_where_they_belong() -> None:
    picture = draw_objects(GREY, objects(), CLASSES)
    assert picture.size == (768, 480), "small pictures are enlarged"
    colors = pick_colors(3).astype(int)
    for label, (x, y) in enumerate([(35, 50), (125, 70)]):
        expected = (1 - OPACITY) * 128 + OPACITY * colors[label]
        assert np.abs(color_at(picture, x, y) - expected).max() <= 1
    assert color_at(picture, 20.2, 55).tolist() == colors[0].tolist(), "the left edge of the box"
    assert color_at(picture, 80, 20).tolist() == [128] * 3
    without = draw_objects(GREY, objects(), CLASSES, least=0.5)
    assert color_at(without, 125, 70).tolist() == [128] * 3 and color_at(without, 35, 50).tolist() != [128] * 3
    crowd = draw_objects(GREY, objects(iscrowd=np.array([False, True])), CLASSES)
    assert np.ptp(color_at(crowd, 125, 70)) == 0, "a crowd is grey"


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (700, 900)])
def test_any_size_and_number_of_objects(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), dtype=np.uint8)
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, dtype=int)}
    assert not np.asarray(draw_objects(image, nothing, CLASSES)).any()
    dots = {"boxes": np.array([[0, 0, 1, 1]] * 3), "labels": np.arange(3), "scores": np.array([0.1, 1, 0.5])}
    assert np.asarray(draw_objects(image, dots, CLASSES)).any()
    ignored = np.full(size, 255, dtype=np.uint8)
    plain = draw_classes(image, ignored, CLASSES)
    assert not np.asarray(plain).any()
    assert draw_classes(image, np.zeros(size, dtype=np.uint8), CLASSES).height > plain.height, "a legend below"


def test_classes_are_painted_and_ignored_pixels_are_not() -> None:
    mask = np.full((100, 160), 255, dtype=np.uint8)
    mask[:50, :80], mask[50:, :80] = 1, 2
    picture = draw_classes(GREY, mask, CLASSES)
    colors = pick_colors(3).astype(int)
    for label, (x, y) in ((1, (40, 20)), (2, (40, 80))):
        assert np.abs(color_at(picture, x, y) - ((1 - OPACITY) * 128 + OPACITY * colors[label])).max() <= 1
    assert color_at(picture, 120, 50).tolist() == [128] * 3
    legend = np.asarray(picture)[480:].reshape(-1, 3).tolist()
    assert [color.tolist() in legend for color in pick_colors(3)] == [False, True, True]


def test_blending_leaves_its_input() -> None:
    before = GREY.copy()
    assert not np.array_equal(blend(GREY, objects()["masks"][0], (255, 0, 0)), before) and np.array_equal(GREY, before)


def test_colours_differ() -> None:
    assert pick_colors(0).shape == (0, 3)
    colors = pick_colors(255).astype(int)
    assert len({tuple(color) for color in colors.tolist()}) == 255
    first = colors[:20]
    distances = np.abs(first[:, None] - first[None]).sum(2) + 1000 * np.eye(20, dtype=int)
    assert distances.min() > 30


def test_detections_are_read_by_coco_tools(tmp_path: Path) -> None:
    rows = describe_detections(7, objects(), [3, 18, 44]) + describe_detections(8, objects(labels=[2, 2]), [3, 18, 44])
    write_detections(tmp_path / "out" / "results.json", rows)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": 7, "height": 100, "width": 160}, {"id": 8, "height": 100, "width": 160}],
            "annotations": [], "categories": [{"id": number, "name": str(number)} for number in (3, 18, 44)],
        }  # fmt: skip
        truth.createIndex()
        read = truth.loadRes(str(tmp_path / "out" / "results.json"))
    found = read.loadAnns(read.getAnnIds(imgIds=7))
    assert [(row["category_id"], row["bbox"], row["score"]) for row in found] == [
        (3, [20, 40, 30, 20], 0.9), (18, [100, 50, 50, 40], 0.4)
    ]  # fmt: skip
    assert [row["category_id"] for row in read.loadAnns(read.getAnnIds(imgIds=8))] == [44, 44]
    assert np.array_equal(read.annToMask(found[1]), objects()["masks"][1])
    without = {key: value for key, value in objects().items() if key != "masks"}
    assert "segmentation" not in describe_detections(7, without, [3, 18, 44])[0]
    write_detections(tmp_path / "none.json", [])
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_index_masks_come_back_and_are_coloured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.array([[0, 1, 2], [255, 2, 1]])
    path = tmp_path / "out" / "mask.png"
    write_index_mask(path, mask, CLASSES)
    assert np.array_equal(read_mask(path), mask)
    with Image.open(path) as image:
        assert image.mode == "P" and image.convert("RGB").getpixel((1, 0)) == tuple(pick_colors(3)[1].tolist())
    before = path.read_bytes()
    for broken in (np.array([[3]]), np.array([0, 1])):
        with pytest.raises(ValueError, match=r"not \[H, W\]"):
            write_index_mask(path, broken, CLASSES)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(dense_files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_index_mask(path, 0 * mask, CLASSES)
    assert path.read_bytes() == before and os.listdir(path.parent) == ["mask.png"]


def test_metrics_pictures_and_readers_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['timm'] = None; "
        "from rapidnet.data import dense_sources; "
        "from rapidnet.evaluation import dense_files, dense_pictures, detection_metrics, segmentation_metrics"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
