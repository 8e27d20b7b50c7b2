"""Where do pictures lie and answers go? A folder of this machine or of any store behind a URL, opened by its name."""

from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from rapidnet.errors import UserError

WEB = ("http", "https")


class Entry(NamedTuple):
    """What a folder holds: `size` in bytes, -1 where nobody says it and for a folder."""

    name: str
    size: int
    is_folder: bool


class StoreError(UserError):
    """A store that did not answer, which says nothing of the file that was asked for."""


class Folder(Protocol):
    """A folder; names are relative to it, with slashes. Several threads may use one."""

    url: str

    def scan(self, below: str) -> list[Entry]:
        """What is in a folder below it ('' is itself), in any order; [] if there is none.

        Raises:
            StoreError: it cannot be listed.
        """

    def is_file(self, name: str) -> bool:
        """Raises StoreError."""

    def read(self, name: str) -> bytes:
        """All bytes of a file; raises FileNotFoundError, PermissionError or StoreError."""

    def open(self, name: str) -> Any:
        """A file to read any part of, as pyarrow wants it; raises as `read`."""

    def write(self, name: str, data: bytes) -> None:
        """Put a file in its place, whole or not at all where the store can do that; raises StoreError."""


def is_url(place: str) -> bool:
    return "://" in place


def open_folder(place: str) -> Folder:
    """The folder of a path or URL, which need not exist yet.

    Raises:
        UserError: an unknown protocol, one whose package is not installed, an address with a password in it.
    """
    protocol = place.partition("://")[0] if is_url(place) else "file"
    if protocol == "file":
        from rapidnet.bulk.local_folder import LocalFolder

        return LocalFolder(place.removeprefix("file://"))
    refuse_secrets(place)
    if protocol == "s3" and not find_spec("s3fs") and find_spec("pyarrow"):
        from rapidnet.bulk.s3_folder import S3Folder

        return S3Folder(place)
    from rapidnet.bulk.fsspec_folder import FsspecFolder

    return FsspecFolder(place)


def refuse_secrets(url: str) -> None:
    """Addresses are written beside the answers, so there must be no password in them."""
    parts = urlsplit(url)
    if parts.password or (parts.scheme in WEB and parts.query):
        what = "password" if parts.password else "query"
        safe = parts.scheme + "://" + (parts.hostname or "") + parts.path
        raise UserError(
            f"the address of {safe} has a {what} in it, which would be written beside the answers; leave it out and "
            "set what is secret in the environment"
        )


def refuse_wildcards(place: str) -> None:
    """Answers go to one folder."""
    if "*" in place:
        raise UserError(f"--output {place} has a wildcard in it; give one folder")
