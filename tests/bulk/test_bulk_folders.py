"""Are the same pictures found on a disk and behind URLs, in one order, and are stores told apart from files?"""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fake_s3 import serve_s3

from rapidnet.bulk import worker
from rapidnet.bulk.folders import StoreError, open_folder, refuse_secrets
from rapidnet.bulk.pictures import find_pictures
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import find_images
from rapidnet.images import BadImageError

NAMES = ["b/2.jpg", "b/10.JPG", "a b/ü.png", "a-b/1.webp", "a/x/y/1.jpg", "a/1.jpg", "z.gif", "a.jpg/inside.bmp"]
OTHERS = ["notes.txt", "b/.hidden.jpg", "b/none"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in [*NAMES, *OTHERS]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    return tmp_path / "photos"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    objects = {f"photos/{name}": b"x" * len(name.encode()) for name in [*NAMES, *OTHERS]}
    with serve_s3(bucket=objects) as server:
        settings = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield server


def names_of(where: str | Path) -> list[str]:
    pictures = find_pictures(str(where))
    return [f"{pictures.shown}{found.name}" for found in pictures.list()]


def test_a_folder_is_walked_in_the_order_of_predict(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "circle").symlink_to(tree)
    expected = [path.as_posix() for path in find_images(str(tree)) if path.is_file()]
    assert names_of(tree) == expected and len(expected) == len(NAMES)
    assert [found.size for found in find_pictures(str(tree)).list()] == [Path(name).stat().st_size for name in expected]
    assert names_of(f"file://{tree}") == expected
    monkeypatch.chdir(tree)
    assert names_of(".") == [str(path) for path in find_images(".") if path.is_file()]
    assert names_of("b/2.jpg") == ["b/2.jpg"] and names_of("z.gif") == ["z.gif"]
    assert names_of("*/*.jpg") == [path.as_posix() for path in find_images("*/*.jpg")] != []
    assert names_of(f"{tree}/**/1.*") == [path.as_posix() for path in find_images(f"{tree}/**/1.*")] != []
    with pytest.raises(UserError, match="no image at 'nothing'"):
        names_of("nothing")


def test_memory_and_s3_give_the_disk_s_names_and_order(tree: Path, s3: Any) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in [*NAMES, *OTHERS]:
        memory.pipe_file(f"/photos/{name}", b"x" * len(name.encode()))
    below = [found.name for found in find_pictures(str(tree)).list()]
    for root in ("memory://photos", "s3://bucket/photos"):
        for slash in ("", "/"):
            assert names_of(f"{root}{slash}") == [f"{root}/{name}" for name in below]
        assert names_of(f"{root}/*/1.*") == [f"{root}/{name}" for name in ("a/1.jpg", "a-b/1.webp")]
        assert names_of(f"{root}/a/**/1.jpg") == [f"{root}/a/1.jpg", f"{root}/a/x/y/1.jpg"]
        assert names_of(f"{root}/b/2.jpg") == [f"{root}/b/2.jpg"]
        assert [found.size for found in find_pictures(root).list()] == [len(name.encode()) for name in below]
    with pytest.raises(UserError, match=r"two stars .* alone"):
        names_of("memory://photos/**.jpg")
    # A listing of several pages is read to its end.
    assert sum(request == "GET /bucket" for request in s3.requests) > 10


def test_a_page_of_links_is_a_folder(tree: Path) -> None:
    (tree / "a.jpg" / "inside.bmp").unlink()
    (tree / "a.jpg").rmdir()
    handler = functools.partial(QuietHandler, directory=str(tree.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}/photos"
    try:
        found = names_of(root)
        folder = open_folder(root)
        assert folder.read("a/1.jpg") == (tree / "a" / "1.jpg").read_bytes()
        assert names_of(f"{root}/b/2.jpg") == [f"{root}/b/2.jpg"]
        with pytest.raises(FileNotFoundError):
            folder.read("a/2.jpg")
        assert folder.scan("elsewhere") == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert sorted(found) == sorted(
        f"{root}/{name.replace(' ', '%20').replace('ü', '%C3%BC')}" for name in NAMES if name != "a.jpg/inside.bmp"
    )
    with pytest.raises(StoreError, match="cannot be listed"):
        names_of(root)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.parametrize("place", ["disk", "memory://out", "s3://bucket/out"])
def test_what_is_written_is_read_and_listed(place: str, tmp_path: Path, s3: Any) -> None:
    fsspec.filesystem("memory").store.clear()
    folder = open_folder(str(tmp_path / "out") if place == "disk" else place)
    assert folder.scan("") == []
    # The second is more than one request of S3 carries.
    contents = {"part-0.parquet": b"abc" * 1000, "part-1.parquet": bytes(12_000_000)}
    for name, data in contents.items():
        folder.write(name, b"what was there before")
        folder.write(name, data)
        assert folder.read(name) == data
        with folder.open(name) as file:
            file.seek(100)
            assert file.read(5) == data[100:105]
    assert sorted((entry.name, entry.size) for entry in folder.scan("")) == [
        (name, len(data)) for name, data in contents.items()
    ]
    with pytest.raises(FileNotFoundError):
        folder.read("part-2.parquet")


def test_half_a_file_never_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(str(tmp_path))
    folder.write("part", b"whole")
    seen = []

    def stop(descriptor: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(OSError, match="No space"):
        folder.write("part", b"another")
    assert "part" in seen and len(seen) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["part"] and folder.read("part") == b"whole"


def test_stores_that_fail_are_no_bad_pictures(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PAUSES", (0.0, 0.0))
    folder = open_folder("s3://bucket/photos")
    with pytest.raises(BadImageError, match=r"s3://bucket/photos/gone\.jpg is missing"):
        worker.fetch_picture(folder, "gone.jpg", 5, "s3://bucket/photos/gone.jpg")
    with pytest.raises(BadImageError, match="may not be read"):
        worker.fetch_picture(open_folder("s3://secret/photos"), "a.jpg", 5, "a.jpg")
    with pytest.raises(BadImageError, match="oversized"):
        worker.fetch_picture(folder, "a/1.jpg", 1 << 40, "a.jpg")
    s3.failing = 2
    assert worker.fetch_picture(folder, "a/1.jpg", 5, "a.jpg") == b"x" * len("a/1.jpg")
    s3.failing = 100
    with pytest.raises(StoreError, match=r"s3://bucket/photos/a/1\.jpg cannot be read") as failed:
        worker.fetch_picture(folder, "a/1.jpg", 5, "a.jpg")
    assert not isinstance(failed.value, BadImageError)
    with pytest.raises(StoreError, match=r"s3://secret cannot be listed.*ACCESS_DENIED"):
        names_of("s3://secret")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/photos", "pip install gcsfs"),
        ("nothing://bucket", "Protocol not known: nothing"),
        ("sftp://me:hush@host/photos", "password in it"),
        ("https://host/photos?token=hush", "query in it"),
    ],
)
def test_addresses_that_cannot_be_used(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        open_folder(url)
    assert "hush" not in str(refused.value)


def test_without_pyarrow_s3_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapidnet.bulk.folders.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install s3fs"):
        open_folder("s3://bucket/photos")
    refuse_secrets("s3://bucket/what?")
