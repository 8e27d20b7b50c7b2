"""Is each layout of a folder found, divided as asked, and refused by name where it does not fit?"""

import json
import os
from pathlib import Path

import pytest
import yaml
from dense_folders import (
    HEIGHT,
    WIDTH,
    coco_content,
    striped,
    write_coco,
    write_mask,
    write_masks,
    write_picture,
    write_yolo,
)

from conftest import hash_folder
from rapidnet.data.dense_layouts import read_class_list
from rapidnet.data.dense_records import DenseSplit
from rapidnet.data.dense_samples import RecordSource
from rapidnet.data.dense_sources import open_dense, open_dense_evaluation
from rapidnet.errors import UserError


def names(split: DenseSplit) -> list[str]:
    return [Path(record.path).name for record in split.records]


def test_coco_with_its_own_validation(tmp_path: Path) -> None:
    write_coco(tmp_path)
    content = coco_content(3)
    # The same classes under other numbers.
    content["categories"] = [{"id": 9, "name": "cat"}, {"id": 5, "name": "dog"}]
    write_coco(tmp_path, content, "val", 3)
    (tmp_path / "annotations" / "captions_train.json").write_text("{}")
    before = hash_folder(tmp_path)
    data = open_dense(tmp_path, "instance")
    assert (len(data.train.records), len(data.val.records)) == (4, 3)
    assert data.val.classes == data.train.classes == ["cat", "dog"]
    assert data.val.category_ids == [9, 5], "results carry the numbers of their own file"
    assert RecordSource(data.val, "detect").targets(0)["labels"].tolist() == [1, 0]
    assert hash_folder(tmp_path) == before


@pytest.mark.parametrize("place", ["images/train", "images", ".", "train"])
def test_coco_pictures_are_found(tmp_path: Path, place: str) -> None:
    path = write_coco(tmp_path)
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    if place != "train":
        for picture in (tmp_path / "train").iterdir():
            picture.rename(tmp_path / place / picture.name)
    assert len(open_dense(tmp_path, "detect").train.records) == 3
    beside = tmp_path / "train" / "_annotations.coco.json"
    path.rename(beside)
    for picture in (tmp_path / place).glob("*.png"):
        picture.rename(tmp_path / "train" / picture.name)
    assert len(open_dense(tmp_path, "detect").train.records) == 3


def test_held_out_pictures_are_seeded_and_disjoint(tmp_path: Path) -> None:
    write_coco(tmp_path, images=12)
    first, again, other = (open_dense(tmp_path, "detect", val_fraction=0.25, seed=seed) for seed in (0, 0, 1))
    assert names(first.val) == names(again.val) != names(other.val)
    assert sorted(names(first.train) + names(first.val)) == sorted(f"{n}.png" for n in range(1, 13))
    assert len(first.val.records) == 3
    write_coco(tmp_path, coco_content(3), "val", 3)
    assert len(open_dense(tmp_path, "detect", holdout=True, val_fraction=0.25).val.records) == 3
    assert len(open_dense(tmp_path, "detect", holdout=True, val_fraction=0.25).train.records) == 9


def test_exclude(tmp_path: Path) -> None:
    write_coco(tmp_path)
    data = open_dense(tmp_path, "detect", exclude="2.png")
    assert "2.png" not in names(data.train) + names(data.val)
    listing = tmp_path / "quarantine.txt"
    listing.write_text(f"{tmp_path / 'train' / '3.png'}\n")
    data = open_dense(tmp_path, "detect", exclude=str(listing))
    assert sorted(names(data.train) + names(data.val)) == ["1.png", "2.png", "4.png"]
    with pytest.raises(UserError, match="leaves out no image"):
        open_dense(tmp_path, "detect", exclude="nothing*")


def test_policies(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_coco(data)
    (data / "train" / "2.png").unlink()
    with pytest.raises(UserError, match="1x unusable image"):
        open_dense(data, "detect")
    for policy in ("skip", "quarantine"):
        found = open_dense(data, "detect", policy, out)
        assert list(found.bad_samples.paths) == [str(data / "train" / "2.png")]
        assert out.exists() == (policy == "quarantine")
    assert (out / "quarantine.txt").read_text() == f"{data / 'train' / '2.png'}\n"
    assert json.loads((out / "annotation_flaws.json").read_text())[0]["flaws"]["unusable image"]["count"] == 1


def test_yolo_by_a_list_of_classes(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_yolo(tmp_path, "val", 2)
    data = open_dense(tmp_path, "detect")
    assert (len(data.train.records), len(data.val.records), data.train.classes) == (3, 2, ["cat", "dog"])
    with pytest.raises(UserError, match=r"boxes \(YOLO\) and no masks"):
        open_dense(tmp_path, "instance")


@pytest.mark.parametrize("listed", [["cat", "dog"], {0: "cat", 1: "dog"}])
def test_yolo_by_data_yaml(tmp_path: Path, listed: object) -> None:
    write_yolo(tmp_path)
    write_yolo(tmp_path, "valid", 2)
    (tmp_path / "classes.txt").unlink()
    content = {"names": listed, "train": ["../images/train"], "val": "images/valid", "path": ""}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(content))
    data = open_dense(tmp_path, "detect")
    assert (len(data.train.records), len(data.val.records), data.train.classes) == (3, 2, ["cat", "dog"])
    for broken, words in (
        ({"names": listed, "train": "images/nowhere"}, "'images/nowhere'"), ({"train": "images/train"}, "names"),
        ({"names": ["a", "a"], "train": "images/train"}, "'a' twice"), ({"names": listed}, "no images to train on"),
        ({"names": "cat", "train": "images/train"}, "list of class names"), ([], "'names' and 'train'"),
    ):  # fmt: skip
        (tmp_path / "data.yaml").write_text(yaml.safe_dump(broken))
        with pytest.raises(UserError, match=words):
            open_dense(tmp_path, "detect")


def test_class_masks(tmp_path: Path) -> None:
    write_masks(tmp_path)
    write_masks(tmp_path, "val", 2)
    data = open_dense(tmp_path, "semantic")
    assert (len(data.train.records), len(data.val.records)) == (3, 2)
    assert data.train.classes == ["class 0", "class 1", "class 2"] and not data.train.zero_is_ignored


@pytest.mark.parametrize("first", [0, 1])
def test_ade20k_as_published_and_as_prepared(tmp_path: Path, first: int) -> None:
    """Published: annotations/, 0 is no class. Prepared: the same pixels less one, 255 is no class."""
    rows = ["Idx\tRatio\tTrain\tVal\tName", *(f"{n}\t0.1\t1\t1\tname {n}, other" for n in range(1, 151))]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(rows))
    for split in ("training", "validation"):
        for number in range(2):
            write_picture(tmp_path / "images" / split / f"{number}.png")
            mask = striped(3, first)
            mask[mask == 255] = 255 if first == 0 else 0
            write_mask(tmp_path / ("annotations" if first else "masks") / split / f"{number}.png", mask)
    data = open_dense(tmp_path, "semantic")
    assert data.train.classes[:2] == ["name 1", "name 2"] and len(data.train.classes) == 150
    assert data.train.zero_is_ignored == data.val.zero_is_ignored == bool(first)
    assert RecordSource(data.val, "semantic").targets(0)["semantic"].numpy().tolist() == striped(3).tolist()


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    for task in ("detect", "instance", "semantic"):
        with pytest.raises(UserError, match="not a folder"):
            open_dense(tmp_path / "nowhere", task)  # type: ignore[arg-type]
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="COCO"):
            open_dense(tmp_path / "empty", task)  # type: ignore[arg-type]
    coco = tmp_path / "coco"
    write_coco(coco)
    (coco / "annotations" / "instances_train2.json").write_text("{}")
    with pytest.raises(UserError, match="several annotation files for train"):
        open_dense(coco, "detect")
    (coco / "annotations" / "instances_train2.json").unlink()
    content = coco_content()
    content["categories"][0]["name"] = "dgo"
    write_coco(coco, content, "val")
    with pytest.raises(UserError, match=r"'dgo' that training lacks.*'dog'"):
        open_dense(coco, "detect")
    for picture in (coco / "train").iterdir():
        picture.unlink()
    with pytest.raises(UserError, match="none of its images"):
        open_dense(coco, "detect")
    single = tmp_path / "single"
    write_masks(single, images=1)
    with pytest.raises(UserError, match="1 usable image"):
        open_dense(single, "semantic")


def test_evaluation_takes_validation_where_there_is_one_and_follows_the_classes_of_training(tmp_path: Path) -> None:
    coco, masks = tmp_path / "coco", tmp_path / "masks"
    write_coco(coco)
    split, log = open_dense_evaluation(coco, "detect", ["bird", "dog", "cat"])
    assert len(split.records) == 4 and log.paths == {}
    assert split.records[0].objects is not None and split.records[0].objects.labels.tolist() == [2, 1]
    assert split.category_ids == [10, 9, 5], "a class its file lacks takes a number of no other"
    write_coco(coco, coco_content(3), "val", 3)
    assert len(open_dense_evaluation(coco, "detect", ["cat", "dog"])[0].records) == 3
    with pytest.raises(UserError, match="'dog' that training lacks"):
        open_dense_evaluation(coco, "detect", ["cat"])
    write_masks(masks)
    assert len(open_dense_evaluation(masks, "semantic", ["class 0", "class 1", "class 2"])[0].records) == 3
    with pytest.raises(UserError, match="lists the classes class 0, class 1, class 2, training class 1"):
        open_dense_evaluation(masks, "semantic", ["class 1", "class 0", "class 2"])


def test_lists_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("cat\n\n dog \n")
    assert read_class_list(path) == ["cat", "dog"]
    for name, text in (("classes.json", "[1, 2]"), ("classes.json", "{"), ("classes.txt", ""), ("classes.txt", "a\na")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=name):
            read_class_list(tmp_path / name)


SHARED = Path(os.environ.get("RAPIDNET_TEST_DATA", "nowhere"))


@pytest.mark.skipif(not (SHARED / "coco480").is_dir(), reason="RAPIDNET_TEST_DATA names no folder with coco480")
def test_real_folders_pass_under_error() -> None:
    coco = open_dense(SHARED / "coco480", "instance")
    assert (coco.train.report.counts["objects"], coco.val.report.counts["objects"]) == (1732, 1560)
    camvid = open_dense(SHARED / "camvid", "semantic")
    assert (len(camvid.train.records), len(camvid.val.records), len(camvid.train.classes)) == (184, 51, 11)
    ade = open_dense(SHARED / "ade20k_samples", "semantic")
    assert not ade.train.zero_is_ignored and ade.train.classes[0] == "wall"


def test_the_size_of_the_picture_is_that_of_the_file(tmp_path: Path) -> None:
    write_yolo(tmp_path, images=2)
    record = open_dense(tmp_path, "detect").train.records[0]
    assert (record.height, record.width) == (HEIGHT, WIDTH)
