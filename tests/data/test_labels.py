"""Is a CSV of labels read as it says, and is one that cannot be meant refused by file and line?"""

from collections import Counter
from pathlib import Path

import pytest

from conftest import write_images
from rapidnet.data.folder import Split
from rapidnet.data.labels import limit_labelled, open_labelled_evaluation, open_labels
from rapidnet.errors import UserError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """pictures/0.png to 39.png."""
    write_images(tmp_path / "data", {"pictures": 40}, size=4)
    return tmp_path / "data"


def write_csv(images: Path, lines: list[str], header: str = "file,labels") -> Path:
    path = images / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def make_lines(count: int = 40) -> list[str]:
    """Every image is 'a' or 'b', every fourth also 'rare', every tenth has nothing."""
    lines = []
    for n in range(count):
        own = [] if n % 10 == 9 else ["ab"[n % 2], *(["rare"] if n % 4 == 0 else [])]
        lines.append(f"pictures/{n}.png,{'|'.join(own)}")
    return lines


def count(split: Split) -> Counter:
    return Counter(label for sample in split.samples for label in sample.labels)


def test_labels_are_held_out_by_their_shares(images: Path) -> None:
    train, val = open_labels(write_csv(images, make_lines()), images, 0.25, seed=0)
    assert train.classes == val.classes == ["a", "b", "rare"]
    assert len(train.samples) + len(val.samples) == 40 and not set(train.samples) & set(val.samples)
    assert len(val.samples) == pytest.approx(10, abs=2)
    for label, total in {0: 20, 1: 16, 2: 10}.items():
        assert count(val)[label] == pytest.approx(0.25 * total, abs=1)
    assert sum(not sample.labels for sample in [*train.samples, *val.samples]) == 4
    assert open_labels(images / "labels.csv", images, 0.25, seed=0)[1] == val
    assert open_labels(images / "labels.csv", images, 0.25, seed=1)[1] != val


def test_a_limit_keeps_the_labels_shares(images: Path) -> None:
    train = open_labels(write_csv(images, make_lines()), images, 0.1, seed=0)[0]
    few = limit_labelled(train, 12, seed=0)
    assert len(few.samples) == pytest.approx(12, abs=2) and set(few.samples) < set(train.samples)
    assert count(few)[2] == pytest.approx(3, abs=1) and few == limit_labelled(train, 12, seed=0)
    assert limit_labelled(train, 99, seed=0) is train


def test_a_split_column_is_followed_unless_held_out(images: Path) -> None:
    lines = [f"{line},{'val' if n < 12 else 'train'},extra" for n, line in enumerate(make_lines())]
    path = write_csv(images, lines, header="\ufefffile,labels,split,note")
    train, val = open_labels(path, images, 0.25, 0)
    assert [Path(sample.path).stem for sample in val.samples] == [str(n) for n in range(12)]
    assert (train.samples[0].label, val.samples[0].label, val.samples[9].label) == ((0, 2), (0, 2), ())
    train, held = open_labels(path, images, 0.25, 0, holdout=True)
    assert len(train.samples) + len(held.samples) == 28 and not set(held.samples) & set(val.samples)


def test_groups_and_exclusions_work_here_too(images: Path) -> None:
    path = write_csv(images, make_lines())
    train, val = open_labels(path, images, 0.3, 0, exclude="1?.png", group_regex=r"(\d)\.png")
    last = [{Path(sample.path).stem[-1] for sample in split.samples} for split in (train, val)]
    assert not last[0] & last[1] and len(train.samples) + len(val.samples) == train.left_out + 20 == 30
    marked = write_csv(
        images, [f"{line},{'val' if n < 9 else 'train'}" for n, line in enumerate(make_lines())], "file,labels,split"
    )
    with pytest.raises(UserError, match="group '0' is in train"):
        open_labels(marked, images, 0.3, 0, group_regex=r"(\d)\.png")


@pytest.mark.parametrize(
    ("header", "change", "words"),
    [
        ("image,labels", {}, ["line 1", "no column 'file'"]),
        ("file,tags", {}, ["line 1", "no column 'labels'"]),
        ("file,labels", {4: "pictures/absent.png,a"}, ["line 6", "pictures/absent.png"]),
        ("file,labels", {4: "pictures/4.png,raer|a"}, ["line 6", "'raer' occurs only once", "did you mean 'rare'"]),
        ("file,labels", {4: "pictures/3.png,a"}, ["line 6", "is in line 5 already"]),
        ("file,labels", {4: "pictures/./3.png,a"}, ["line 6", "is in line 5 already"]),
        ("file,labels", {4: "pictures/4.png,a||b"}, ["line 6", "empty label"]),
        ("file,labels", {4: "pictures/4.png,a|a"}, ["line 6", "'a' twice"]),
        ("file,labels", {4: "pictures/4.png,a,b"}, ["line 6", "fields"]),
        ("file,labels", {4: "pictures/4.png"}, ["line 6", "fields"]),
        ("file,labels,split", {n: f"pictures/{n}.png,a,{'train' if n else 'test'}" for n in range(40)},
         ["line 2", "split 'test' is unknown"]),
        ("file,labels,split", {n: f"pictures/{n}.png,{'ab'[n % 2]},val" for n in range(40)}, ["of split train"]),
        ("file,labels,split", {n: f"pictures/{n}.png,{'ab'[n < 3]},{'val' if n < 3 else 'train'}" for n in range(40)},
         ["line 2", "'b' has no image to train on"]),
        ("file,labels", {n: f"pictures/{n}.png,a" for n in range(40)}, ["names 1 label"]),
    ],
)  # fmt: skip
def test_errors_name_file_and_line(images: Path, header: str, change: dict[int, str], words: list[str]) -> None:
    lines = make_lines()
    for number, line in change.items():
        lines[number] = line
    path = write_csv(images, lines, header)
    with pytest.raises(UserError) as error:
        open_labels(path, images, 0.2, 0)
    assert all(word in str(error.value) for word in [str(path), *words]), str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_csv_of_labels(images: Path) -> None:
    def refused(word: str, content: bytes | None = None) -> None:
        if content is not None:
            (images / "labels.csv").write_bytes(content)
        with pytest.raises(UserError, match=word):
            open_labels(images / "labels.csv", images, 0.2, 0)

    refused("does not exist")
    refused("line 1: there is no column 'file'", b"")
    refused("no line below its header", b"file,labels\n")
    refused("not UTF-8", "file,labels\npictures/0.png,Blümchen\n".encode("latin-1"))
    refused("not a CSV", b'file,labels\npictures/0.png,"a\n')
    with pytest.raises(UserError, match="not a folder"):
        open_labels(images / "labels.csv", images / "absent", 0.2, 0)
    with pytest.raises(UserError, match="leaves out no image"):
        open_labels(write_csv(images, make_lines()), images, 0.2, 0, exclude="nothing*")


def test_evaluation_follows_the_trained_classes(images: Path) -> None:
    path = write_csv(images, make_lines())
    split = open_labelled_evaluation(path, images, ["a", "b", "other", "rare"])
    assert len(split.samples) == 40 and split.samples[0].label == (0, 3)
    with pytest.raises(UserError, match=r"line 2: label 'rare' is unknown in training"):
        open_labelled_evaluation(path, images, ["a", "b"])
    lines = [f"{line},{'val' if n < 12 else 'train'}" for n, line in enumerate(make_lines())]
    assert (
        len(open_labelled_evaluation(write_csv(images, lines, "file,labels,split"), images, ["a", "b", "rare"]).samples)
        == 12
    )
