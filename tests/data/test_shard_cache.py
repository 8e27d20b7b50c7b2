"""Does a remote shard arrive once and whole, or not at all?"""

import errno
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import fsspec
import pytest

from data.test_shard_writer import shard
from data.test_shards import open_data, read, refused, same
from rapidnet.data import shard_cache
from rapidnet.data.shard_cache import cache_folder, localize, open_store
from rapidnet.data.shard_index import INDEX
from rapidnet.data.sources import open_evaluation, open_splits
from rapidnet.errors import UserError


class Server(http.server.ThreadingHTTPServer):
    """Serves `root`; `trouble` maps the end of a path to what goes wrong with it."""

    def __init__(self, root: Path) -> None:
        self.root, self.trouble = root, {}  # type: ignore[var-annotated]
        self.gets: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=str(args[2].root))

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        if self.fault() == "500":
            self.send_error(500)
        else:
            super().do_HEAD()

    def do_GET(self) -> None:
        self.server.gets[self.path.rsplit("/", 1)[-1]] += 1
        fault = self.fault()
        if fault in ("500", "403"):
            self.send_error(int(fault))
            return
        if fault is None:
            super().do_GET()
            return
        content = (self.server.root / self.path.lstrip("/")).read_bytes()
        sent = bytes(len(content)) if fault == "other bytes" else content[: len(content) // 2]
        self.send_response(200)
        if fault != "short, no length":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = True

    def fault(self) -> str | None:
        return next((what for end, what in self.server.trouble.items() if self.path.endswith(end)), None)


@pytest.fixture
def server(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("RAPIDNET_CACHE", str(tmp_path / "cache"))
    shard(photos, tmp_path / "served" / "s")
    with Server(tmp_path / "served") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def cached() -> list[str]:
    return sorted(path.name for path in cache_folder().rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_training_from_http_is_training_from_the_folder(photos: Path, server: Server) -> None:
    url = f"{server.url}/s"
    expected = read(open_data(photos))
    assert same(expected, read(open_data(url)))
    assert len(cached()) == 7
    assert same(expected, read(open_data(url), workers=2))
    assert {name: count for name, count in server.gets.items() if name.endswith(".tar")} == dict.fromkeys(cached(), 1)
    assert not same(expected, read(open_data(f"{url}/train-{{000000..000004}}.tar"))), "a tenth is held out"


def test_an_evaluation_fetches_no_training_shards(server: Server) -> None:
    split = open_evaluation(f"{server.url}/s", ["blue sky", "green", "red"])
    assert len(split.samples) == 9
    assert cached() == ["val-000000.tar", "val-000001.tar"]


def test_without_an_index_what_the_server_lists_is_scanned(server: Server) -> None:
    (server.root / "s" / INDEX).unlink()
    train, val = open_splits(f"{server.url}/s", 0.1, 0)
    assert (train.classes, len(train.samples), len(val.samples)) == (["0", "1", "2"], 24, 9)


def test_a_store_in_memory(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDNET_CACHE", str(tmp_path / "cache"))
    shard(photos, "memory://kept/s")
    assert same(read(open_data(photos)), read(open_data("memory://kept/s")))
    store = fsspec.filesystem("memory")
    for name in (INDEX, "train-000000.tar", "train-000001.tar"):
        store.rm(f"/kept/s/{name}")
    train, _ = open_splits("memory://kept/s/*.tar", 0.1, 0)
    assert len(train.samples) == 14 and train.samples[0].path.startswith("memory:///kept/s/train-000002.tar/")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("500", "500"),
        ("403", "403"),
        ("short", "could not be fetched"),
        ("short, no length", "were expected"),
        ("other bytes", "another sha256"),
    ],
)
def test_what_does_not_arrive_whole_gets_no_name(server: Server, fault: str, message: str) -> None:
    server.trouble["train-000002.tar"] = fault
    text = refused(f"{server.url}/s")
    assert "train-000002.tar" in text and message in text
    assert "train-000002.tar" not in cached() and not [name for name in cached() if name.endswith(".partial")]
    server.trouble.clear()
    assert len(open_splits(f"{server.url}/s", 0.1, 0)[0].samples) == 24
    again = {name: count for name, count in server.gets.items() if name.endswith(".tar") and count > 1}
    assert again.keys() <= {"train-000002.tar"}, "what was fetched is kept"


def test_without_an_index_the_size_the_server_gives_is_held_to(server: Server) -> None:
    (server.root / "s" / INDEX).unlink()
    server.trouble["train-000000.tar"] = "short, no length"
    pattern = f"{server.url}/s/train-{{000000..000001}}.tar"
    with pytest.raises(UserError, match=r"train-000000\.tar has .* were expected"):
        open_splits(pattern, 0.1, 0)
    server.trouble["train-000000.tar"] = "500"
    assert "cannot be reached: 500" in refused(pattern)
    assert "is missing" in refused(f"{server.url}/s/train-{{000007..000008}}.tar")
    assert "train-000000.tar" not in cached()


def test_a_server_in_trouble_is_not_a_server_without_an_index(server: Server) -> None:
    server.trouble[INDEX] = "500"
    assert "index.json cannot be read: 500" in refused(f"{server.url}/s")
    server.trouble[INDEX] = "403"
    assert open_splits(f"{server.url}/s", 0.1, 0)[0].classes == ["0", "1", "2"]


def test_a_shard_that_changes_at_its_url_is_fetched_again(server: Server, tmp_path: Path, photos: Path) -> None:
    first = open_splits(f"{server.url}/s", 0.1, 0)[0]
    shard(photos, tmp_path / "other", seed=1)
    for path in (tmp_path / "other").iterdir():
        path.replace(server.root / "s" / path.name)
    second = open_splits(f"{server.url}/s", 0.1, 0)[0]
    assert first.samples != second.samples
    images = [[split.fetch(sample) for sample in split.samples] for split in (first, second)]
    assert [image.data for image in images[0]] == [image.data for image in images[1]]  # type: ignore[union-attr]


def test_processes_that_ask_at_once_fetch_once(server: Server) -> None:
    url = f"{server.url}/s/train-000000.tar"
    with ThreadPool(4) as pool:
        paths = pool.map(lambda _: localize(open_store(url), url), range(8))
    assert len(set(paths)) == 1
    assert server.gets["train-000000.tar"] == 1


def test_a_full_disk_says_where(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_cache.os, "fsync", full)
    assert "set RAPIDNET_CACHE" in refused(f"{server.url}/s")
    assert not cached()


def test_a_store_whose_package_is_missing_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **options: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(shard_cache, "url_to_fs", missing)
    assert "Install s3fs" in refused("s3://bucket/shards")
