"""How is a folder of S3 listed, read and written by the client that pyarrow brings?

It finds credentials, region and profile as Amazon's own tools do; AWS_ENDPOINT_URL leads to another server of the kind.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from rapidnet.bulk.folders import Entry, StoreError
from rapidnet.data.shard_cache import one_line

REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
ENDPOINT = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


class S3Folder:
    """A `Folder` of a bucket; an object is put whole or not at all."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.root = f"{parts.netloc}{self.url.removeprefix(f's3://{parts.netloc}')}"
        try:
            self.store = open_s3(parts.netloc)
        except OSError as error:
            raise self._failed("reached", "", error) from None

    def scan(self, below: str) -> list[Entry]:
        from pyarrow.fs import FileSelector, FileType

        path = self._path(below)
        try:
            found = self.store.get_file_info(FileSelector(path, allow_not_found=True))
        except OSError as error:
            raise self._failed("listed", below, error) from None
        entries = []
        for item in found:
            is_folder = item.type == FileType.Directory
            entries.append(Entry(item.base_name, -1 if is_folder else item.size, is_folder))
        return entries

    def is_file(self, name: str) -> bool:
        try:
            return bool(self.store.get_file_info(self._path(name)).is_file)
        except OSError as error:
            raise self._failed("reached", name, error) from None

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            try:
                return bytes(file.read())
            except OSError as error:
                raise self._failed("read", name, error) from None

    def open(self, name: str) -> Any:
        try:
            return self.store.open_input_file(self._path(name))
        except FileNotFoundError:
            raise
        except OSError as error:
            if "ACCESS_DENIED" in str(error):
                raise PermissionError(self._path(name)) from None
            raise self._failed("read", name, error) from None

    def write(self, name: str, data: bytes) -> None:
        try:
            with self.store.open_output_stream(self._path(name)) as file:
                file.write(data)
        except OSError as error:
            raise self._failed("written", name, error) from None

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _failed(self, verb: str, name: str, error: OSError) -> StoreError:
        where = f"{self.url}/{name}".rstrip("/")
        return StoreError(
            f"{where} cannot be {verb}: {one_line(error)}; check the address, the credentials and the network"
        )


def open_s3(bucket: str) -> Any:
    """The client for a bucket, in its region."""
    from pyarrow.fs import S3FileSystem, resolve_s3_region

    endpoint = next((os.environ[name] for name in ENDPOINT if os.environ.get(name)), None)
    known = endpoint or any(os.environ.get(name) for name in REGION)
    region = None if known else resolve_s3_region(bucket)
    # A small object is put in one request.
    return S3FileSystem(endpoint_override=endpoint, region=region, allow_delayed_open=True)
