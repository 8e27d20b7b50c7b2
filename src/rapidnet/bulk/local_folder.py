"""How is a folder of this machine listed, read and written?"""

import os
from pathlib import Path
from typing import Any

from rapidnet.bulk.folders import Entry, StoreError


class LocalFolder:
    """A `Folder` on a disk. What is being written has another name until it is whole."""

    def __init__(self, path: str) -> None:
        self.url = os.path.abspath(path)

    def scan(self, below: str) -> list[Entry]:
        try:
            with os.scandir(self._path(below)) as found:
                # A linked folder is not entered: it may lead around in a circle.
                return [Entry(item.name, _size(item), is_folder=item.is_dir(follow_symlinks=False)) for item in found]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be listed: {error.strerror}; ask for the permission") from None

    def is_file(self, name: str) -> bool:
        return self._path(name).is_file()

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return bytes(file.read())

    def open(self, name: str) -> Any:
        try:
            return self._path(name).open("rb")
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be read: {error.strerror}; check the disk") from None

    def write(self, name: str, data: bytes) -> None:
        """Raises OSError where the disk is full or may not be written to."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return Path(self.url, name)


def _size(item: os.DirEntry[str]) -> int:
    try:
        return -1 if item.is_dir(follow_symlinks=False) else item.stat().st_size
    except FileNotFoundError:
        # A link that leads nowhere; reading it will say so.
        return -1
