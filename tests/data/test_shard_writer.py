"""Do shards hold the folder's own bytes, the same ones every time, in a form that webdataset reads?"""

import gc
import hashlib
import json
import tarfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import fsspec
import pytest
import webdataset
from rich.console import Console

from conftest import write_images
from rapidnet import cli
from rapidnet.config import ShardConfig
from rapidnet.data.shard_index import INDEX, UNFINISHED, Index
from rapidnet.data.shard_scan import scan_shard
from rapidnet.data.shard_writer import write_shards
from rapidnet.errors import UserError

QUIET = Console(quiet=True)


def shard(data: Path | str, output: Path | str, **options: object) -> Index:
    return write_shards(ShardConfig(str(data), str(output), **({"images_per_shard": 5} | options)), QUIET)  # type: ignore[arg-type]


def state(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def test_the_command_writes_every_image_once_with_its_own_bytes(photos: Path, tmp_path: Path) -> None:
    before = state(photos)
    assert cli.main(["data", "shard", str(photos), "--output", str(tmp_path / "s"), "--images-per-shard", "5"]) == 0
    assert state(photos) == before, "the folder is only read"
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == [INDEX, *[f"train-{n:06d}.tar" for n in range(5)], "val-000000.tar", "val-000001.tar"]
    index = json.loads((tmp_path / "s" / INDEX).read_text())
    assert index["classes"] == ["blue sky", "green", "red"]
    seen = {}
    for record in index["shards"]:
        content = (tmp_path / "s" / record["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (record["size"], record["sha256"])
        for _, offset, size, label, original in record["entries"]:
            assert original.split("/")[1] == index["classes"][label]
            seen[original] = hashlib.sha256(content[offset : offset + size]).hexdigest()
    assert seen == before


def test_the_same_input_gives_the_same_bytes_and_another_seed_does_not(photos: Path, tmp_path: Path) -> None:
    shard(photos, tmp_path / "a")
    for path in (photos / "train").rglob("*.png"):
        path.touch()
    shard(photos, tmp_path / "b")
    shard(photos, tmp_path / "c", seed=1)
    assert state(tmp_path / "a") == state(tmp_path / "b")
    assert state(tmp_path / "a") != state(tmp_path / "c")


def test_shards_mix_classes_and_keep_to_their_size(tmp_path: Path) -> None:
    root = write_images(tmp_path / "p", {"a": 40, "b": 40, "c": 40}, 20)
    index = shard(root, tmp_path / "s", images_per_shard=20, val_fraction=0.25)
    assert Counter(record.name.split("-")[0] for record in index.shards) == {"train": 5, "val": 2}
    full = [record for record in index.shards if len(record.entries) == 20]
    assert len(full) == 5 and all(len({entry.label for entry in record.entries}) == 3 for record in full)
    for path in root.rglob("*.png"):
        path.write_bytes(bytes(100_000))
    index = shard(root, tmp_path / "t", images_per_shard=0, shard_size_mb=1)
    full = [record for record, after in pairwise(index.shards) if record.name[:3] == after.name[:3]]
    assert len(full) == 11 and all(1_000_000 < record.size < 1_120_000 for record in full)


def test_the_index_is_what_a_scan_of_the_tar_finds(photos: Path, tmp_path: Path) -> None:
    index = shard(photos, tmp_path / "s")
    for record in index.shards:
        found = scan_shard(str(tmp_path / "s" / record.name), record.name)
        named = [entry._replace(label=index.classes[int(entry.label)]) for entry in found]
        assert named == [entry._replace(original="") for entry in record.entries]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset_reads_what_was_written(photos: Path, tmp_path: Path) -> None:
    shard(photos, tmp_path / "s")
    urls = str(tmp_path / "s" / "train-{000000..000004}.tar")
    stream = webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("png", "cls")
    samples = [(image.size, label) for image, label in stream]
    assert Counter(label for _, label in samples) == {0: 8, 1: 8, 2: 8}
    assert {size for size, _ in samples} == {(40, 40)}
    # webdataset leaves its files to the garbage collector.
    del stream
    gc.collect()


def test_names_of_any_kind_become_plain_keys(tmp_path: Path) -> None:
    root = write_images(tmp_path / "p", {"a": 2, "b": 2}, 4)
    (root / "a" / "0.png").rename(root / "a" / f"my.holiday photo é {'x' * 90}.PNG")
    index = shard(root, tmp_path / "s")
    (entry,) = (e for record in index.shards for e in record.entries if "holiday" in e.original)
    assert entry.member.endswith(".png") and entry.member.count(".") == 1 and entry.member.isascii()
    assert entry.original.startswith("a/my.holiday photo é")
    for path in (tmp_path / "s").glob("*.tar"):
        with tarfile.open(path) as tar:
            assert {(info.mtime, info.uid, info.gid, info.uname, info.gname) for info in tar} == {(0, 0, 0, "", "")}


def test_shards_are_written_to_a_store(photos: Path, tmp_path: Path) -> None:
    shard(photos, tmp_path / "s")
    shard(photos, "memory://written/s")
    store = fsspec.filesystem("memory")
    remote = {path.rsplit("/", 1)[-1]: store.cat_file(path) for path in store.find("/written/s")}
    assert remote == {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    with pytest.raises(UserError, match="is not empty"):
        shard(photos, "memory://written/s")


def test_what_cannot_be_is_refused(photos: Path, tmp_path: Path) -> None:
    for output, message in (
        (photos / "shards", "lies inside"),
        (photos, "lies inside"),
        ("http://127.0.0.1:9/s", "choose another place"),
        ("nowhere://x", "mend the address"),
    ):
        with pytest.raises(UserError, match=message):
            shard(photos, output)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UserError, match="is not empty"):
        shard(photos, tmp_path / "full")
    for options in ({"images_per_shard": -1}, {"images_per_shard": 3, "shard_size_mb": 8}, {"val_fraction": 0.0}):
        with pytest.raises(UserError):
            ShardConfig(str(photos), **options)  # type: ignore[arg-type]


def test_a_stopped_command_leaves_nothing_that_trains(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, count = tarfile.TarFile.addfile, 0

    def addfile(*args: object) -> None:
        nonlocal count
        count += 1
        if count == 25:
            raise KeyboardInterrupt
        original(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "addfile", addfile)
        with pytest.raises(KeyboardInterrupt):
            shard(photos, tmp_path / "s")
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == [UNFINISHED, "train-000000.tar", "train-000001.tar"]
