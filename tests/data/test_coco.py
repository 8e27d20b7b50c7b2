"""Are COCO files read exactly, and is everything that is wrong with one named and counted?"""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dense_folders import HEIGHT, WIDTH, annotation, coco_content, rectangle, write_coco, write_picture
from PIL import Image

from conftest import hash_folder
from rapidnet.data.annotation_report import FLAWS, settle
from rapidnet.data.coco import read_coco
from rapidnet.data.dense_records import DenseSplit
from rapidnet.data.dense_samples import RecordSource
from rapidnet.errors import UserError


def read(path: Path, **options: Any) -> DenseSplit:
    return read_coco([path.parents[1] / "train"], path, "train", **options)


def kinds(split: DenseSplit) -> dict[str, int]:
    return {kind: len(found) for kind, found in split.report.by_kind().items()}


def test_boxes_masks_and_names(tmp_path: Path) -> None:
    split = read(write_coco(tmp_path))
    assert split.classes == ["cat", "dog"] and split.category_ids == [5, 9], "in the order of their numbers"
    assert split.report.counts == {"images": 4, "images without objects": 1, "objects": 6, "crowds": 0}
    assert kinds(split) == {} and split.report.summarize() == ""
    image, targets = RecordSource(split, "instance").load(1)
    assert image.shape == (3, HEIGHT, WIDTH) and targets["size"] == (HEIGHT, WIDTH) and targets["image_id"] == 2
    assert targets["boxes"].tolist() == [[2, 3, 22, 30], [30.5, 10, 50, 35.25]]
    assert targets["labels"].tolist() == [0, 1] and targets["area"].tolist() == [540, 492.375]
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[3:30, 2:22] = True
    assert np.array_equal(targets["masks"][0].numpy(), expected)
    with Image.open(tmp_path / "train" / "2.png") as file:
        assert np.array_equal(np.asarray(file).transpose(2, 0, 1), image.numpy())
    empty = RecordSource(split, "instance").targets(3)
    assert empty["boxes"].shape == (0, 4) and empty["masks"].shape == (0, HEIGHT, WIDTH)
    assert "masks" not in RecordSource(split, "detect").targets(0)


def test_crowds_small_boxes_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    content = coco_content()
    runs = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * 10, HEIGHT * 5, HEIGHT * 45]}
    content["annotations"] = [
        annotation(1, 1, (10, 0, 15, HEIGHT), iscrowd=1, segmentation=runs),
        annotation(2, 1, (10, 20, 11, 21)),
        annotation(3, 1, (10, 20, 10.2, 20.1)),
    ]
    split = read(write_coco(tmp_path, content))
    assert kinds(split) == {} and split.report.counts["crowds"] == 1
    targets = RecordSource(split, "instance").targets(0)
    assert targets["iscrowd"].tolist() == [True, False, False]
    assert targets["masks"][0].sum() == 5 * HEIGHT and bool(targets["masks"][0, :, 10:15].all())
    assert targets["masks"][1].sum() == 1


def remove_image(root: Path, content: dict) -> None:
    (root / "train" / "2.png").unlink()


def damage_image(root: Path, content: dict) -> None:
    (root / "train" / "2.png").write_bytes(b"no picture")


def change(key: str, index: int, **values: Any) -> Callable[[Path, dict], None]:
    return lambda root, content: content[key][index].update(values)


def append(key: str, row: Any) -> Callable[[Path, dict], None]:
    return lambda root, content: content[key].append(row)


HUGE = 10**400
OF_2 = {"height": HEIGHT, "width": WIDTH}
EMPTY = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
FAR = rectangle(0, 0, 1e9, 9)
BROKEN: dict[str, tuple[Callable[[Path, dict], None], str, str, int, int]] = {
    # what is done, the flaw it is, words of its message, pictures and objects left
    "no file": (remove_image, "unusable image", "missing", 3, 4),
    "no picture": (damage_image, "unusable image", "unreadable", 3, 4),
    "sideways": (lambda root, _: write_picture(root / "train/2.png", 0, WIDTH, HEIGHT), "image size", "40x60", 3, 4),
    "number twice": (append("images", {"id": 2, "file_name": "x.png"} | OF_2), "duplicate image", "2", 4, 6),
    "file twice": (append("images", {"id": 8, "file_name": "2.png"} | OF_2), "duplicate image", "8", 4, 6),
    "no size": (append("images", {"id": 8, "file_name": "x.png"}), "malformed image", "image 5", 4, 6),
    "a bomb": (change("images", 1, height=10**6, width=10**6), "malformed image", "1000000x1000000", 3, 4),
    "wholly outside": (change("annotations", 2, bbox=[70, 3, 5, 5]), "box outside", "annotation 4 of 2.png", 4, 5),
    "partly outside": (change("annotations", 2, bbox=[50, 3, 15, 5]), "box outside", "by 5.0 px", 4, 6),
    "inverted": (change("annotations", 2, bbox=[9, 3, -4, 5]), "empty box", "inverted", 4, 5),
    "no area": (change("annotations", 2, bbox=[9, 3, 0, 5]), "empty box", "without area", 4, 5),
    "three numbers": (change("annotations", 2, bbox=[9, 3, 0]), "malformed annotation", "annotation 4", 4, 5),
    "not a number": (change("annotations", 2, bbox=[9, 3, float("nan"), 4]), "malformed annotation", "nan", 4, 5),
    "beyond floats": (change("annotations", 2, bbox=[9, 3, HUGE, 4]), "malformed annotation", "annotation 4", 4, 5),
    "half a crowd": (change("annotations", 2, iscrowd=0.5), "malformed annotation", "iscrowd", 4, 5),
    "no polygon": (change("annotations", 2, segmentation=[]), "empty outline", "annotation 4 of 2.png", 4, 5),
    "two corners": (change("annotations", 2, segmentation=[[1, 1, 5, 5]]), "empty outline", "three corners", 4, 5),
    "no outline": (change("annotations", 2, segmentation=None), "malformed outline", "annotation 4", 4, 5),
    "far corner": (change("annotations", 2, segmentation=FAR), "malformed outline", "farther", 4, 5),
    "other size": (change("annotations", 2, segmentation=EMPTY | {"size": [9, 9]}), "malformed outline", "9", 4, 5),
    "nothing set": (change("annotations", 2, segmentation=EMPTY), "empty outline", "no pixel", 4, 5),
    "too long": (change("annotations", 2, segmentation=EMPTY | {"counts": [0, 2401]}), "malformed outline", "", 4, 5),
    "garbage": (change("annotations", 2, segmentation=EMPTY | {"counts": "oo~~"}), "malformed outline", "run", 4, 5),
    "same number": (change("annotations", 2, id=3), "duplicate annotation", "annotation 3", 4, 5),
    "number is text": (change("annotations", 2, id="x"), "malformed annotation", "annotation x", 4, 5),
    "whose image": (change("annotations", 2, image_id=77), "unknown image", "77", 4, 5),
    "what category": (change("annotations", 2, category_id=77), "unknown category", "77", 4, 5),
    "not a mapping": (append("annotations", 7), "malformed annotation", "annotation 7 of the list", 4, 6),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_counted_and_left_out(tmp_path: Path, case: str) -> None:
    damage, kind, words, images, objects = BROKEN[case]
    data, content = tmp_path / "data", coco_content()
    path = write_coco(data)
    damage(data, content)
    path.write_text(json.dumps(content))
    before = hash_folder(data)
    split = read(path)
    assert kinds(split) == {kind: 1} and kind in FLAWS
    assert words in str(split.report.flaws[0])
    assert len(split.records) == images == split.report.counts["images"]
    assert sum(len(record.objects or ()) for record in split.records) == objects == split.report.counts["objects"]
    with pytest.raises(UserError, match=f"1x {kind}.*--bad-samples skip"):
        settle([split.report], "error")
    log = settle([split.report], "quarantine", tmp_path / "out")
    assert len(log.paths) == (4 - images)
    report = json.loads((tmp_path / "out" / "annotation_flaws.json").read_text())
    assert report[0]["flaws"][kind]["count"] == 1 and words in json.dumps(report[0]["flaws"])
    listed = tmp_path / "out" / "quarantine.txt"
    assert (listed.read_text().splitlines() if listed.exists() else []) == list(log.paths)
    assert hash_folder(data) == before, "files are only read"
    for index in range(len(split.records)):
        RecordSource(split, "instance").load(index)


def test_a_sound_file_passes_under_error_and_leaves_no_report(tmp_path: Path) -> None:
    split = read(write_coco(tmp_path))
    assert settle([split.report], "error").paths == {}
    settle([split.report], "quarantine", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_flaw_of_a_file_is_in_one_sentence(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["bbox"] = content["annotations"][1]["bbox"] = [1, 1, 0, 0]
    content["annotations"][3]["category_id"] = 77
    split = read(write_coco(tmp_path, content))
    with pytest.raises(UserError) as error:
        settle([split.report], "error")
    assert "2x empty box (first: annotation 2 of 1.png" in str(error.value)
    assert "1x unknown category" in str(error.value) and "\n" not in str(error.value)


def test_rounding_is_clipped_and_no_flaw(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][0]["bbox"] = [-0.04, 3, 20, HEIGHT - 3 + 0.5]
    split = read(write_coco(tmp_path, content))
    assert kinds(split) == {} and split.report.counts["boxes clipped by less than a pixel"] == 1
    assert RecordSource(split, "detect").targets(0)["boxes"][0].tolist() == [0, 3, pytest.approx(19.96), HEIGHT]


def test_outlines_matter_only_to_masks(tmp_path: Path) -> None:
    content = coco_content()
    del content["annotations"][0]["segmentation"]
    assert kinds(read(write_coco(tmp_path, content))) == {"malformed outline": 1}
    assert kinds(read(write_coco(tmp_path, content), with_shapes=False)) == {}


def test_objects_of_an_image_left_out_are_no_flaws_of_their_own(tmp_path: Path) -> None:
    content = coco_content()
    content["images"][1]["height"] = 0
    split = read(write_coco(tmp_path, content))
    assert kinds(split) == {"malformed image": 1} and split.report.counts["objects of images left out"] == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no list 'images'"),
        ('{"images": [], "annotations": []}', "no list 'categories'"),
        ('{"images": [], "annotations": [], "categories": []}', "names no category"),
        ('{"images": [], "annotations": [], "categories": [{"id": "1", "name": "a"}]}', "no number 'id'"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}', "'a'"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "'1'"),
        ("[" * 100_000, "no JSON"),
    ],
)  # fmt: skip
def test_what_is_no_coco_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write_coco(tmp_path)
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read(path)
    path.unlink()
    with pytest.raises(UserError, match="no annotation file"):
        read(path)


def test_unchecked_files_are_noticed_when_they_are_read(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    write_picture(tmp_path / "train" / "2.png", 0, WIDTH, HEIGHT)
    split = read(path, check_files=False)
    assert kinds(split) == {} and len(split.records) == 4
    with pytest.raises(UserError, match=r"2\.png.*40x60.*EXIF"):
        RecordSource(split, "detect").load(1)


def test_pictures_are_taken_upright(tmp_path: Path) -> None:
    """A camera's picture that is stored sideways: annotations of the upright one fit, others do not."""
    content = coco_content()
    content["images"][0]["file_name"] = "1.jpg"
    path = write_coco(tmp_path, content)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH), "red").save(tmp_path / "train" / "1.jpg", exif=turned)
    split = read(path)
    assert kinds(split) == {} and RecordSource(split, "detect").load(0)[0].shape == (3, HEIGHT, WIDTH)
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(tmp_path / "train" / "1.jpg", exif=turned)
    split = read(path)
    assert kinds(split) == {"image size": 1} and "EXIF" in split.report.summarize()


def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    pixels = struct.pack(">I", 1000) + b"IDAT"
    (tmp_path / "train" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + pixels)
    split = read(path)
    assert kinds(split) == {"unusable image": 1} and "oversized" in split.report.summarize()
