"""Is a folder split as it says, and is a folder that cannot be trained on refused by name?"""

from collections import Counter
from pathlib import Path

import pytest

from conftest import write_images
from rapidnet.data.folder import open_evaluation, open_splits
from rapidnet.errors import UserError


def test_train_and_val_folders(photos: Path) -> None:
    (photos / "train" / ".DS_Store").touch()
    (photos / "train" / "red" / "notes.txt").touch()
    (photos / "train" / "red" / "deeper").mkdir()
    (photos / "train" / "red" / "0.png").rename(photos / "train" / "red" / "deeper" / "0.PNG")
    train, val = open_splits(photos, 0.1, 0)
    assert train.classes == val.classes == ["blue sky", "green", "red"]
    assert (len(train.samples), len(val.samples)) == (24, 9)
    assert Counter(sample.label for sample in train.samples) == {0: 8, 1: 8, 2: 8}


def test_held_out_share_is_stratified_seeded_and_disjoint(tmp_path: Path) -> None:
    root = write_images(tmp_path, {"a": 20, "b": 10, "c": 2}, size=4)
    train, val = open_splits(root, 0.2, seed=0)
    assert Counter(sample.label for sample in val.samples) == {0: 4, 1: 2, 2: 1}
    assert not set(train.samples) & set(val.samples)
    assert len(train.samples) + len(val.samples) == 32
    assert open_splits(root, 0.2, seed=0)[1] == val
    assert open_splits(root, 0.2, seed=1)[1] != val


def test_holdout_leaves_val_alone(photos: Path) -> None:
    _, val = open_splits(photos, 0.25, 0, holdout=True)
    assert len(val.samples) == 6
    assert all("/train/" in sample.path for sample in val.samples)


def test_evaluation_follows_the_trained_classes(photos: Path) -> None:
    split = open_evaluation(photos, ["apple", "blue sky", "green", "red"])
    assert {sample.label for sample in split.samples} == {1, 2, 3}
    assert open_evaluation(photos / "val", ["blue sky", "green", "red"]).classes == ["blue sky", "green", "red"]


def test_unusable_folders_are_refused_by_name(tmp_path: Path, photos: Path) -> None:
    def refused(root: Path, *words: str) -> None:
        with pytest.raises(UserError) as error:
            open_splits(root, 0.1, 0)
        assert all(word in str(error.value) for word in words), str(error.value)
        assert "\n" not in str(error.value)

    refused(tmp_path / "absent", "absent", "not a folder")
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "no class folders")
    refused(write_images(tmp_path / "one", {"only": 3}, 4), "only one class", "'only'")
    (write_images(tmp_path / "empty", {"a": 3, "b": 3}, 4) / "void").mkdir()
    refused(tmp_path / "empty", "void", "no images")
    refused(write_images(tmp_path / "single", {"a": 3, "b": 1}, 4), "'b'", "single image")
    write_images(photos / "val", {"purple": 1}, 4)
    refused(photos, "unknown in training", "purple")


def test_exclude_by_pattern_and_by_list(photos: Path, tmp_path: Path) -> None:
    train, val = open_splits(photos, 0.1, 0, exclude="[01].png")
    assert (len(train.samples), len(val.samples), train.left_out, val.left_out) == (18, 3, 6, 6)
    assert all(Path(sample.path).name not in ("0.png", "1.png") for sample in train.samples + val.samples)
    listing = tmp_path / "quarantine.txt"
    listing.write_text(f"{photos}/train/red/3.png\n")
    train, val = open_splits(photos, 0.1, 0, exclude=str(listing))
    assert (train.left_out, val.left_out) == (1, 0) and len(train.samples) == 23


@pytest.mark.parametrize(("exclude", "message"), [("nothing*", "leaves out no image"), ("*", "are all excluded")])
def test_an_exclusion_that_leaves_nothing_out_or_nothing_over_is_refused(
    photos: Path, exclude: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        open_splits(photos, 0.1, 0, exclude=exclude)
