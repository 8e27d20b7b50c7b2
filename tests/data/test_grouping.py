"""Does a group stay on one side, is every class on both, and are leaks and expressions that cannot be meant refused?"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from conftest import write_images
from rapidnet.data.folder import Split, hold_out, open_splits
from rapidnet.data.grouping import compile_groups, stratify
from rapidnet.errors import UserError

PATIENT = r"patient(\d+)"


def write_patients(root: Path, classes: dict[str, int], images: int = 3) -> Path:
    """<root>/<class>/patient<n>_<i>.png: so many patients a class, `images` of each."""
    write_images(root, {name: patients * images for name, patients in classes.items()}, size=4)
    number = 0
    for name, patients in classes.items():
        for patient in range(patients):
            for image in range(images):
                source = root / name / f"{patient * images + image}.png"
                source.rename(root / name / f"patient{number}_{image}.png")
            number += 1
    return root


def groups(split: Split) -> set[str]:
    return {Path(sample.path).name.split("_")[0] for sample in split.samples}


def test_groups_stay_whole_and_classes_keep_their_shares(tmp_path: Path) -> None:
    root = write_patients(tmp_path, {"a": 20, "b": 10, "c": 2})
    train, val = open_splits(root, 0.2, 0, group_regex=PATIENT)
    assert not groups(train) & groups(val)
    assert len(train.samples) + len(val.samples) == 96
    assert Counter(sample.label for sample in val.samples) == {0: 12, 1: 6, 2: 3}
    assert open_splits(root, 0.2, 0, group_regex=PATIENT)[1] == val
    assert open_splits(root, 0.2, 1, group_regex=PATIENT)[1] != val
    leaking = hold_out(train, 0.2, 0)
    assert groups(leaking[0]) & groups(leaking[1]), "a plain hold-out takes these groups apart"


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5])
def test_every_class_is_on_both_sides_for_any_sizes_of_groups(fraction: float) -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        counts = rng.integers(0, 12, (40, 6)) * (rng.random((40, 6)) < 0.3)
        chosen = stratify(counts, counts.sum(1), fraction, seed)
        share = counts[chosen].sum(0) / counts.sum(0)
        assert (share > 0).all() and (share < 1).all()
        assert abs(counts[chosen].sum() / counts.sum() - fraction) < 0.1
    two_large = np.array([[10, 0], [10, 0], [0, 10], [0, 10]])
    assert stratify(two_large, two_large.sum(1), 0.1, 0).reshape(2, 2).sum(1).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("regex", "word"),
    [
        ("patient(", "not a regular expression"),
        (r"patient\d+", "captures nothing"),
        (r"subject(\d+)", r"finds no group in a/patient0_0\.png"),
        (r"patient0_(x)?", "finds no group in a/patient0_0"),
        ("(a|b)/", r"class 'a' is left without images to .* its 1 groups"),
    ],
)
def test_expressions_that_cannot_be_meant_are_refused(tmp_path: Path, regex: str, word: str) -> None:
    root = write_patients(tmp_path, {"a": 3, "b": 3})
    with pytest.raises(UserError, match=word) as error:
        open_splits(root, 0.2, 0, group_regex=regex)
    assert "\n" not in str(error.value)


def test_a_class_of_one_group_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"class 'b' .* its 1 groups \(such as '3'\)"):
        open_splits(write_patients(tmp_path, {"a": 3, "b": 1}), 0.2, 0, group_regex=PATIENT)


def test_a_leak_between_train_and_val_is_named(tmp_path: Path) -> None:
    write_patients(tmp_path / "train", {"a": 3, "b": 3})
    write_images(tmp_path / "val", {"a": 1, "b": 1}, size=4)
    for number, name in enumerate(("a", "b")):
        (tmp_path / "val" / name / "0.png").rename(tmp_path / "val" / name / f"patient{9 + number}_0.png")
    assert len(open_splits(tmp_path, 0.2, 0, group_regex=PATIENT)[1].samples) == 2
    (tmp_path / "val" / "b" / "patient10_0.png").rename(tmp_path / "val" / "b" / "patient4_7.png")
    with pytest.raises(
        UserError, match=r"group '4' is in train \(train/b/patient4_.\.png\) and in val \(val/b/patient4_7"
    ):
        open_splits(tmp_path, 0.2, 0, group_regex=PATIENT)
    assert open_splits(tmp_path, 0.2, 0, holdout=True, group_regex=PATIENT)[1].samples


def test_the_first_group_names_it() -> None:
    assert compile_groups(r"(?:p|q)(\d+)_(\d)")("a/q12_3.png") == "12"
