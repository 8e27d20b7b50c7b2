"""Are YOLO's boxes read exactly, and is every line that is none named?"""

from pathlib import Path

import pytest
from dense_folders import HEIGHT, WIDTH, write_picture, write_yolo

from rapidnet.data.annotation_report import settle
from rapidnet.data.dense_samples import RecordSource
from rapidnet.data.yolo import find_labels, read_yolo
from rapidnet.errors import UserError

CLASSES = ["cat", "dog"]


def test_boxes(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "1.txt").write_text("")
    split = read_yolo([tmp_path / "images" / "train"], CLASSES, "train")
    assert split.report.counts == {"images": 3, "images without objects": 2, "objects": 2, "crowds": 0}
    image, targets = RecordSource(split, "detect").load(0)
    assert image.shape == (3, HEIGHT, WIDTH)
    assert targets["boxes"].tolist() == [[15, 15, 45, 25], pytest.approx([3, 4, 9, 12])]
    assert targets["labels"].tolist() == [0, 1] and targets["area"].tolist() == pytest.approx([300, 48])
    assert RecordSource(split, "detect").targets(1)["boxes"].shape == (0, 4)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("0 0.5 0.5 0.5", "malformed annotation", "four numbers"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2", "malformed annotation", "four numbers"),
        ("cat 0.5 0.5 0.5 0.5", "malformed annotation", "'cat 0.5"),
        ("0 nan 0.5 0.5 0.5", "malformed annotation", "nan"),
        ("0 1e308 0.5 1e309 0.5", "malformed annotation", "line 3"),
        ("2 0.5 0.5 0.5 0.5", "unknown category", "class 2 of 2"),
        ("-1 0.5 0.5 0.5 0.5", "unknown category", "class -1"),
        ("0 0.5 0.5 0.5 0.25", "duplicate annotation", "line 3"),
        ("0 0.5 0.5 0 0.5", "empty box", "without area"),
        ("0 0.5 0.5 -0.1 0.5", "empty box", "inverted"),
        ("0 0.9 0.5 0.5 0.5", "box outside", "by 9.0 px"),
        ("0 1.9 0.5 0.5 0.5", "box outside", "wholly"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, kind: str, words: str) -> None:
    write_yolo(tmp_path)
    path = tmp_path / "labels" / "train" / "0.txt"
    path.write_text(path.read_text() + line + "\n\n")
    split = read_yolo([tmp_path / "images" / "train"], CLASSES, "train")
    assert [(flaw.kind, words in str(flaw)) for flaw in split.report.flaws] == [(kind, True)]
    assert "0.txt, line 3" in split.report.flaws[0].where
    clipped = kind == "box outside" and words != "wholly"
    assert split.report.counts["objects"] == 5 - (not clipped)
    with pytest.raises(UserError, match=f"1x {kind}"):
        settle([split.report], "error")


def test_files_that_go_with_nothing(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "lost.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "labels" / "train" / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "labels" / "train" / "0.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "images" / "train" / "1.png").write_bytes(b"no image")
    split = read_yolo([tmp_path / "images" / "train"], CLASSES, "train")
    assert {kind: len(found) for kind, found in split.report.by_kind().items()} == {
        "unusable image": 1, "labels without image": 1, "malformed annotation": 1
    }  # fmt: skip
    assert len(split.records) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image below"):
        read_yolo([tmp_path / "empty"], CLASSES, "train")


def test_labels_lie_beside_images_or_in_the_folder_of_labels(tmp_path: Path) -> None:
    assert find_labels(Path("a/images/train/x.jpg")) == Path("a/labels/train/x.txt")
    assert find_labels(Path("images/b/images/x.jpg")) == Path("images/b/labels/x.txt")
    assert find_labels(Path("a/train/x.jpg")) == Path("a/train/x.txt")
    write_picture(tmp_path / "train" / "x.png")
    (tmp_path / "train" / "x.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    assert read_yolo([tmp_path / "train"], CLASSES, "train").report.counts["objects"] == 1
