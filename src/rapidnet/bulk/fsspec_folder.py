"""How is a folder behind a URL listed, read and written, by whatever fsspec has for its protocol?"""

from typing import Any

from rapidnet.bulk.folders import Entry, StoreError
from rapidnet.data.shard_cache import ABSENT, one_line, open_store
from rapidnet.errors import UserError

PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "sftp": "paramiko",
}
"""Protocol -> what pip installs for it."""


class FsspecFolder:
    """A `Folder` of any store; opened again by its URL in another process."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self.store = open_store(url)
        except UserError:
            package = PACKAGES.get(url.partition("://")[0])
            if package is None:
                raise
            raise UserError(f"{url} needs a package that cannot be imported; pip install {package}") from None
        self.root: str = self.store._strip_protocol(self.url).rstrip("/")

    def scan(self, below: str) -> list[Entry]:
        path = self._path(below)
        try:
            found = self.store.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Every store has errors of its own, which share no base class.
        except Exception as error:
            raise self._failed(path, "listed", error) from None
        # Otherwise every listing of a large store stays in memory.
        self.store.invalidate_cache()
        start = f"{path.rstrip('/')}/"
        entries = []
        for item in found:
            name = item["name"].rstrip("/")
            # Some stores list a folder's own marker; and a page of links leads elsewhere, too.
            if name.startswith(start) and "/" not in name[len(start) :]:
                is_folder = item["type"] == "directory"
                size = -1 if is_folder or item.get("size") is None else int(item["size"])
                entries.append(Entry(name[len(start) :], size, is_folder))
        return entries

    def is_file(self, name: str) -> bool:
        try:
            return bool(self.store.info(self._path(name))["type"] == "file")
        except Exception as error:
            cause = find_cause(error)
            if is_absent(cause):
                return False
            raise self._failed(self._path(name), "reached", cause) from None

    def read(self, name: str) -> bytes:
        path = self._path(name)
        try:
            return bytes(self.store.cat_file(path))
        except Exception as error:
            raise self._explain(path, error) from None

    def open(self, name: str) -> Any:
        path = self._path(name)
        try:
            return self.store.open(path, "rb")
        except Exception as error:
            raise self._explain(path, error) from None

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            self.store.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.store.pipe_file(path, data)
        except NotImplementedError:
            raise StoreError(f"{self.url} cannot be written to; choose another place") from None
        except Exception as error:
            raise self._failed(path, "written", error) from None

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _explain(self, path: str, error: Exception) -> Exception:
        cause = find_cause(error)
        if isinstance(cause, PermissionError):
            return cause
        return FileNotFoundError(path) if is_absent(cause) else self._failed(path, "read", cause)

    def _failed(self, path: str, verb: str, error: Exception) -> StoreError:
        where = self.store.unstrip_protocol(path)
        return StoreError(
            f"{where} cannot be {verb}: {one_line(error)}; check the address, the permission and the network"
        )


def find_cause(error: Exception) -> Exception:
    """What happened: fsspec calls every failure of HTTP a missing file, and a missing key in memory, too."""
    cause = error.__cause__
    return cause if isinstance(cause, Exception) and not isinstance(cause, LookupError) else error


def is_absent(error: Exception) -> bool:
    """Whether a store says that there is no such file, or none for us."""
    return isinstance(error, FileNotFoundError) or getattr(error, "status", 0) in ABSENT
