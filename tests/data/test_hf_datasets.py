"""Is a Hugging Face dataset read with its own bytes and labels, and one that does not fit refused by name?"""

import pickle
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from conftest import write_images
from data.test_loading import PREPROCESSING, read, same
from data.test_shard_writer import shard
from rapidnet.config import AugmentConfig
from rapidnet.data.loading import EpochSampler, ImageFolder, build_loader
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.data.transforms import build_train_transform
from rapidnet.errors import UserError
from rapidnet.images import BadImageError, EncodedImage

CLASSES = ["blue sky", "green", "red"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf_cache")


def table(folder: Path, kind: Any = None, **columns: list) -> Dataset:
    """A row for each image of a folder of classes, in the folder's order."""
    files = [(path, name) for name in CLASSES for path in sorted((folder / name).iterdir())]
    features = {"note": Value("string"), "image": Image(), "label": kind or ClassLabel(names=CLASSES)}
    values = {
        "note": ["x"] * len(files),
        "image": [{"bytes": path.read_bytes(), "path": f"{path.parent.name}-{path.name}"} for path, _ in files],
        "label": [CLASSES.index(name) if kind is None else name for _, name in files],
    }
    return Dataset.from_dict(values | columns, Features(features))


def save(data: Dataset | DatasetDict, path: Path) -> str:
    data.save_to_disk(str(path))
    return f"hf:{path}"


def open_data(root: Path | str) -> ImageFolder:
    transform = build_train_transform(AugmentConfig(), PREPROCESSING)
    return ImageFolder(open_splits(root, 0.1, 0)[0], transform, seed=0)


@pytest.fixture
def saved(photos: Path, tmp_path: Path) -> str:
    splits = {"train": table(photos / "train"), "test": table(photos / "val"), "validation": table(photos / "val")}
    return save(DatasetDict(splits), tmp_path / "saved")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_same_pixels_as_the_folder_with_any_workers(photos: Path, saved: str, tmp_path: Path) -> None:
    expected = read(open_data(photos))
    assert same(expected, read(open_data(saved)))
    assert same(expected, read(open_data(saved), workers=2))
    assert same(expected[2:], read(open_data(saved), start=8))
    shuffled = save(DatasetDict({"train": table(photos / "train").shuffle(seed=1)}), tmp_path / "shuffled")
    assert not same(expected, read(open_data(shuffled)))


def test_splits_labels_and_bytes(photos: Path, saved: str) -> None:
    train, val = open_splits(saved, 0.1, 0)
    assert train.classes == val.classes == CLASSES
    assert (len(train.samples), len(val.samples)) == (24, 9)
    assert train.samples[9].path == f"{saved}/train/9/green-1.png"
    assert val.samples[0].path.startswith(f"{saved}/validation/"), "validation before test"
    content = (photos / "train" / "green" / "1.png").read_bytes()
    assert train.fetch(train.samples[9]) == EncodedImage(train.samples[9].path, content)
    copy = pickle.loads(pickle.dumps(train))
    assert copy.fetch(train.samples[9]) == train.fetch(train.samples[9])
    assert [s.label for s in open_evaluation(saved, ["apple", *CLASSES]).samples] == [1] * 3 + [2] * 3 + [3] * 3


def test_held_out_where_it_has_no_validation(photos: Path, saved: str, tmp_path: Path) -> None:
    train, val = open_splits(save(table(photos / "train"), tmp_path / "one"), 0.25, 0)
    assert (len(train.samples), Counter(sample.label for sample in val.samples)) == (18, {0: 2, 1: 2, 2: 2})
    assert len(open_splits(saved, 0.25, 0, holdout=True)[1].samples) == 6
    train, val = open_splits(saved, 0.1, 0, exclude="red-[01].png")
    assert (len(train.samples), len(val.samples), train.left_out) == (22, 7, 2)
    assert len({train.fetch(sample).data for sample in train.samples}) == 22  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"'red' .* exclude fewer"):
        open_splits(saved, 0.1, 0, exclude="red*")


@pytest.mark.parametrize("kind", [Value("string"), Value("int64")])
def test_a_plain_label_column(photos: Path, tmp_path: Path, kind: Value) -> None:
    names = ["10", "9", "9"] * 8 if kind.dtype == "string" else [10, 9, 9] * 8
    train, val = open_splits(save(table(photos / "train", kind, label=names), tmp_path / "plain"), 0.1, 0)
    assert train.classes == ["9", "10"]
    assert Counter(sample.label for sample in [*train.samples, *val.samples]) == {0: 16, 1: 8}


def test_a_folder_goes_through_load_dataset_and_keeps_its_files(photos: Path) -> None:
    train, val = open_splits(f"hf:{photos}", 0.1, 0)
    assert train.classes == CLASSES and (len(train.samples), len(val.samples)) == (24, 9)
    source = train.fetch(train.samples[0])
    content = source.data if isinstance(source, EncodedImage) else Path(source).read_bytes()
    assert content == (photos / "train" / "blue sky" / "0.png").read_bytes()


def test_a_broken_image_is_named_with_its_row(photos: Path, tmp_path: Path) -> None:
    rows = table(photos / "train")
    images: list = [row["image"] for row in rows.cast_column("image", Image(decode=False))]
    images[3], images[4] = {"bytes": b"no image", "path": "bad.png"}, None
    data = save(table(photos / "train", image=images), tmp_path / "bad")
    dataset = open_data(data)
    found = [s for b in build_loader(dataset, EpochSampler(len(dataset), 0), 4, 0, train=False) for s in b.bad]
    assert {sample.path for sample in found} <= {f"{data}/train/3/bad.png", f"{data}/train/4/image"}
    assert all(sample.path in sample.message for sample in found)
    train, val = open_splits(data, 0.1, 0)
    empty = next(sample for sample in [*train.samples, *val.samples] if sample.path.endswith("/4/image"))
    with pytest.raises(BadImageError, match="holds no image"):
        train.fetch(empty)


def test_it_can_be_packed_into_shards(photos: Path, tmp_path: Path) -> None:
    rows = table(photos / "train").cast_column("image", Image(decode=False))
    images = [{"bytes": row["image"]["bytes"], "path": None} for row in rows]
    data = save(DatasetDict({"train": table(photos / "train", image=images), "test": rows}), tmp_path / "saved")
    index = shard(data, tmp_path / "shards")
    assert all(entry.member.endswith(".png") for record in index.shards for entry in record.entries)
    assert same(read(open_data(data)), read(open_data(tmp_path / "shards")))


def refused(root: str) -> str:
    with pytest.raises(UserError) as error:
        open_splits(root, 0.1, 0)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_is_refused_by_name(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(photos / "train")
    for name, data, words in (
        (
            "no_image",
            rows.remove_columns("image"),
            ("no column of the type Image", "note (Value)", "label (ClassLabel)"),
        ),
        ("no_label", rows.remove_columns("label"), ("no column of the type ClassLabel", "image (Image)")),
        ("hole", table(photos / "train", label=[0, -1, *[1] * 22]), ("row 1", "no label")),
        ("lacks", table(photos / "train", label=[0, 1] * 12), ("class 'red'", "no training images")),
        ("named", DatasetDict({"a": rows, "b": rows}), ("no split called train", "a, b")),
    ):
        message = refused(save(data, tmp_path / name))
        assert all(word in message for word in words), message
    assert "cannot be loaded" in refused(f"hf:{tmp_path / 'absent'}")
    assert "cannot be loaded" in refused("hf:somebody/something")
    (tmp_path / "named" / "dataset_dict.json").write_text("{")
    assert "cannot be loaded" in refused(f"hf:{tmp_path / 'named'}")
    write_images(tmp_path / "plain", {"a": 1}, 4)
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'rapidnet[hf]'" in refused("hf:beans")
