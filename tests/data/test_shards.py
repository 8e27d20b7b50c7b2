"""Is a run on shards the run on their folder, bit for bit, and is a shard that cannot be trusted refused by name?"""

import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import webdataset
from rich.console import Console

from conftest import tiny_config, write_images
from data.test_loading import PREPROCESSING, read, same
from data.test_shard_writer import shard
from rapidnet import cli
from rapidnet.config import AugmentConfig, EvaluateConfig, TrainConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.loading import EpochSampler, ImageFolder, build_loader
from rapidnet.data.shard_fetch import OPEN_SHARDS, Member, ShardFetcher
from rapidnet.data.shard_index import INDEX, UNFINISHED
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.data.transforms import build_train_transform
from rapidnet.errors import UserError
from rapidnet.evaluation.evaluate_trained import evaluate
from rapidnet.evaluation.trained import load_trained
from rapidnet.images import BadImageError, EncodedImage
from rapidnet.training.train import run_train
from training.test_train import same as same_weights
from training.test_train import stop_after

QUIET = Console(quiet=True)


def open_data(root: Path | str) -> ImageFolder:
    transform = build_train_transform(AugmentConfig(rand_augment="rand-m9-mstd0.5-inc1"), PREPROCESSING)
    return ImageFolder(open_splits(root, 0.1, 0)[0], transform, seed=0)


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shards(photos: Path, tmp_path: Path) -> Path:
    """The folder `photos` as five train and two val shards."""
    shard(photos, tmp_path / "shards")
    return tmp_path / "shards"


def test_the_same_images_labels_and_order_as_the_folder(photos: Path, shards: Path) -> None:
    for folder, packed in zip(open_splits(photos, 0.1, 0), open_splits(shards, 0.1, 0), strict=True):
        assert packed.classes == folder.classes
        assert [sample.label for sample in packed.samples] == [sample.label for sample in folder.samples]
        fetched = [packed.fetch(sample) for sample in packed.samples]
        assert all(isinstance(image, EncodedImage) for image in fetched)
        assert [image.data for image in fetched] == [Path(s.path).read_bytes() for s in folder.samples]  # type: ignore[union-attr]


def test_the_same_pixels_as_the_folder_and_not_in_another_order(photos: Path, shards: Path) -> None:
    assert same(read(open_data(photos)), read(open_data(shards)))
    chosen = open_data(str(shards / "{train-{000000..000004},val-*}.tar"))
    assert same(read(open_data(photos)), read(chosen)), "the index beside a pattern is used"
    (shards / INDEX).unlink()
    assert not same(read(open_data(photos)), read(open_data(shards)))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_workers_change_nothing_and_an_epoch_is_entered_in_its_middle(shards: Path) -> None:
    dataset = open_data(shards)
    whole = read(dataset)
    # Descriptors that were open before the workers were forked are shared with them.
    assert same(whole, read(dataset, workers=2))
    assert same(whole[2:], read(dataset, start=8, workers=2))
    assert not same(whole[1:], read(dataset, start=8))


def test_a_run_on_shards_is_the_run_on_the_folder_also_when_it_is_stopped(
    photos: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_train(tiny_config(photos, tmp_path / "folder", epochs=1), QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert run_train(tiny_config(shards, tmp_path / "packed", epochs=1), QUIET) == 130
    assert not same_weights(tmp_path / "folder", tmp_path / "packed")
    assert run_train(TrainConfig(resume=str(tmp_path / "packed")), QUIET) == 0
    assert same_weights(tmp_path / "folder", tmp_path / "packed")

    trained = load_trained(str(tmp_path / "packed"), "best")
    rows = []
    for data in ("", str(shards), str(shards / "val-*.tar"), str(photos)):
        row, _ = evaluate(trained, EvaluateConfig(str(tmp_path / "packed"), data), tmp_path / "e", QUIET)
        rows.append([row[key] for key in ("images", "top1", "nll")])
    assert rows[0][0] == 9 and all(row == rows[0] for row in rows)
    row, _ = evaluate(trained, EvaluateConfig("", str(shards / "train-*.tar")), tmp_path / "e", QUIET)
    assert row["images"] == 24


def test_a_fetcher_travels_to_other_processes_and_keeps_few_files_open(shards: Path) -> None:
    split = open_splits(shards, 0.1, 0)[0]
    expected = [split.fetch(sample) for sample in split.samples]
    assert [pickle.loads(pickle.dumps(split)).fetch(sample) for sample in split.samples] == expected
    first = split.samples[0]
    assert isinstance(first, Member)
    fetch, before = ShardFetcher(), len(os.listdir("/proc/self/fd"))
    for n in range(2 * OPEN_SHARDS):
        copy = shutil.copy(first.shard, shards / f"copy-{n}.tar")
        assert fetch(Member(first.path, 0, str(copy), first.offset, first.size)) == expected[0]
    assert len(os.listdir("/proc/self/fd")) - before == OPEN_SHARDS
    del fetch
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_corrupt_member_follows_the_policy_and_is_named_with_its_shard(shards: Path, tmp_path: Path) -> None:
    split = open_splits(shards, 0.1, 0)[0]
    victim = split.samples[5]
    assert isinstance(victim, Member)
    with open(victim.shard, "rb+") as file:
        file.seek(victim.offset)
        file.write(b"no image")
    dataset = open_data(shards)
    batches = list(build_loader(dataset, EpochSampler(len(dataset), 0), 4, 0, train=True))
    found = [sample for batch in batches for sample in batch.bad]
    assert [sample.path for sample in found] == [victim.path]
    assert sum(len(batch.targets) for batch in batches) == 23
    with pytest.raises(UserError) as error:
        BadSampleLog("error", tmp_path / "q.txt").record(found)
    assert "shards/train-00000" in str(error.value) and Path(victim.path).name in str(error.value)
    BadSampleLog("quarantine", tmp_path / "q.txt").record(found)
    train, _ = open_splits(shards, 0.1, 0, exclude=str(tmp_path / "q.txt"))
    assert train.left_out == 1 and victim.path not in {sample.path for sample in train.samples}


def test_a_shard_that_shrinks_or_goes_during_a_run_is_a_bad_image(shards: Path) -> None:
    split = open_splits(shards, 0.1, 0)[0]
    one = split.samples[0]
    assert isinstance(one, Member)
    os.truncate(one.shard, one.offset + 1)
    with pytest.raises(BadImageError, match="ends within it"):
        split.fetch(one)
    Path(one.shard).unlink()
    with pytest.raises(BadImageError, match="has gone"):
        ShardFetcher()(one)


def test_exclude_and_holdout(shards: Path) -> None:
    train, val = open_splits(shards, 0.1, 0, exclude="[01].png")
    assert (len(train.samples), len(val.samples), train.left_out, val.left_out) == (18, 3, 6, 6)
    _, val = open_splits(shards, 0.25, 0, holdout=True)
    assert len(val.samples) == 6 and all("/train-" in sample.path for sample in val.samples)
    for exclude, message in (("nothing*", "leaves out no image"), ("*", "exclude fewer")):
        with pytest.raises(UserError, match=message):
            open_splits(shards, 0.1, 0, exclude=exclude)


def test_tars_of_webdataset_are_read_without_an_index(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    png = (photos / "train" / "red" / "0.png").read_bytes()
    with webdataset.TarWriter(str(tmp_path / "w" / "train-000000.tar")) as writer:
        for n in range(12):
            writer.write({"__key__": f"{n:03d}", "png": png, "cls": [2, 10][n % 2], "txt": "a caption"})
    with webdataset.TarWriter(str(tmp_path / "w" / "val-000000.tar")) as writer:
        writer.write({"__key__": "x/y", "png": png, "json": {"label": 10, "note": "from json"}})
    with webdataset.TarWriter(str(tmp_path / "w" / "test-000000.tar")) as writer:
        writer.write({"__key__": "unseen", "png": png, "cls": 2})
    train, val = open_splits(tmp_path / "w", 0.1, 0)
    assert train.classes == val.classes == ["2", "10"], "by value, not by spelling"
    assert [sample.label for sample in train.samples] == [0, 1] * 6
    assert [(Path(s.path).parts[-3:], s.label) for s in val.samples] == [(("val-000000.tar", "x", "y.png"), 1)]
    assert train.fetch(train.samples[3]) == EncodedImage(train.samples[3].path, png)
    assert len(open_evaluation(tmp_path / "w" / "test-000000.tar", ["2", "10"]).samples) == 1
    train, val = open_splits(str(tmp_path / "w" / "{train,test}-*.tar"), 0.25, 0)
    assert (len(train.samples), len(val.samples)) == (8, 4), "held out where the pattern has no val"


def test_class_names_in_cls(tmp_path: Path) -> None:
    members = {
        f"{n}.{kind}": value
        for n in range(6)
        for kind, value in (("JPG", b"x"), ("cls", b"cat\n" if n % 2 else b"dog"))
    }
    write_tar(tmp_path / "a.tar", members)
    train, val = open_splits(tmp_path / "a.tar", 0.1, 0)
    assert train.classes == ["cat", "dog"]
    assert Counter(sample.label for sample in [*train.samples, *val.samples]) == {0: 3, 1: 3}


LABELS = {"a": b"0", "b": b"1", "c": b"0", "d": b"1"}
GOOD = {f"{key}.{ending}": label for key, label in LABELS.items() for ending in ("png", "cls")}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"e.png": b""}, ("e.png", "x.tar", "no label", "e.cls")),
        ({"e.cls": b"0"}, ("e", "x.tar", "no image")),
        ({"a.jpg": b"1"}, ("x.tar", "two images of the key a", "a.jpg")),
        ({"e.png": b"", "e.cls": b"-1"}, ("e.cls of shard", "x.tar", "mend")),
        ({"e.png": b"", "e.cls": b"\xff"}, ("e.cls", "mend")),
        ({"e.png": b"", "e.json": b'{"label": 1.5}'}, ("e.json", "mend")),
        ({"e.png": b"", "e.json": b"{"}, ("e.json", "mend")),
        ({"e.png": b"", "e.json": b'{"other": 1}'}, ("no label",)),
    ],
)
def test_tars_that_do_not_say_what_they_hold_are_refused(
    tmp_path: Path, members: dict[str, bytes], words: tuple[str, ...]
) -> None:
    write_tar(tmp_path / "good.tar", GOOD)
    assert len(open_splits(tmp_path / "good.tar", 0.1, 0)[0].samples) == 2
    message = refused(write_tar(tmp_path / "x.tar", GOOD | members))
    assert all(word in message for word in words), message


def refused(root: Path | str) -> str:
    with pytest.raises(UserError) as error:
        open_splits(root, 0.1, 0)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_truncated_tar_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", GOOD)
    whole = path.read_bytes()
    for cut in (0, 1, 511, 512, 513, 1024, 1536, 3000, 4096, 8 * 1024, 8 * 1024 + 100):
        path.write_bytes(whole[:cut])
        assert "x.tar" in refused(path), cut
    path.write_bytes(whole[:2048] + b"\xff" * 512 + whole[2560:])
    assert "damaged at byte 2048" in refused(path)
    path.write_bytes(whole[: 8 * 1024 + 512])
    assert len(open_splits(path, 0.1, 0)[0].samples) == 2, "one block of zeros is an end"


def test_compressed_tars_are_refused(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "x.tar", GOOD).read_bytes()
    for name in ("train-0.tar.gz", "train-0.tgz", "train-0.tar"):
        (tmp_path / "z").mkdir(exist_ok=True)
        (tmp_path / "z" / name).write_bytes(gzip.compress(whole))
        for root in (tmp_path / "z", tmp_path / "z" / name):
            assert all(word in refused(root) for word in (name, "compressed (gzip)", "unpack"))
        (tmp_path / "z" / name).unlink()


def test_shards_that_are_not_what_the_index_says_are_refused(shards: Path) -> None:
    index = json.loads((shards / INDEX).read_text())
    one = shards / "train-000002.tar"
    content = one.read_bytes()
    one.write_bytes(content[:-512])
    assert all(word in refused(shards) for word in ("train-000002.tar", str(len(content)), "again"))
    one.unlink()
    assert all(word in refused(shards) for word in ("train-000002.tar", "missing"))
    assert "missing" in refused(shards / "train-{000000..000003}.tar")
    one.write_bytes(content)
    shutil.copy(one, shards / "train-000009.tar")
    assert "train-000009.tar is not in" in refused(shards)
    (shards / "train-000009.tar").unlink()

    def with_index(change: dict) -> str:
        (shards / INDEX).write_text(json.dumps(index | change))
        return refused(shards)

    entry = index["shards"][0]["entries"][0]
    assert "update rapidnet" in with_index({"version": 2})
    for row in ([*entry[:2], 10**12, *entry[3:]], [entry[0], -1, *entry[2:]], [*entry[:3], 7, ""], entry[:3]):
        assert "no index of shards" in with_index({"shards": [index["shards"][0] | {"entries": [row]}]})
    assert "another folder" in with_index({"shards": [index["shards"][0] | {"name": "../x.tar"}]})
    (shards / INDEX).write_text(json.dumps(index)[:-20])
    assert "no index of shards" in refused(shards)


def test_other_mistakes_are_one_sentence(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "matches no shard" in refused(tmp_path / "none-*.tar")
    assert "missing" in refused(tmp_path / "none.tar")
    assert "unbalanced" in refused(f"{tmp_path}/{{0..3.tar")
    assert "mend the address" in refused("nowhere://x")
    assert "class 'blue sky'" in refused(write_subset(shards, tmp_path))
    (shards / INDEX).unlink()
    (shards / UNFINISHED).touch()
    assert "never finished" in refused(shards)
    assert "never finished" in refused(shards / "train-*.tar")
    assert cli.main(["train", "--data", str(shards), "--output", str(tmp_path / "run")]) == 2
    assert "never finished" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def write_subset(shards: Path, tmp_path: Path) -> Path:
    """The same shards with an index that lists no image of the first class."""
    shutil.copytree(shards, tmp_path / "subset")
    index = json.loads((shards / INDEX).read_text())
    for record in index["shards"]:
        record["entries"] = [entry for entry in record["entries"] if entry[3] != 0]
    (tmp_path / "subset" / INDEX).write_text(json.dumps(index))
    return tmp_path / "subset"


def test_a_folder_of_classes_stays_one(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "copy")
    write_tar(tmp_path / "copy" / "download.tar", GOOD)
    (tmp_path / "copy" / INDEX).write_text('{"other": "tool"}')
    assert len(open_splits(tmp_path / "copy", 0.1, 0)[0].samples) == 24
    assert "not a folder" in refused(tmp_path / "absent")
    write_images(tmp_path / "flat", {"a": 2, "b": 2}, 4)
    assert len(open_splits(tmp_path / "flat", 0.1, 0)[0].samples) == 2
