"""How does a shard at a URL become a whole file on this machine?"""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

from filelock import FileLock
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from rapidnet.errors import UserError

# What a version of a file is known by, in the words of the stores: HTTP, S3, Google, Azure, SSH, memory.
VERSION_FIELDS = ("size", "ETag", "etag", "Last-Modified", "LastModified", "md5Hash", "content_md5", "mtime", "created")
ABSENT = (401, 403, 404, 410)
"""HTTP answers for a file that is not there: stores that may not be listed say 'forbidden'."""


def cache_folder() -> Path:
    """Where fetched shards are kept: $RAPIDNET_CACHE/shards or ~/.cache/rapidnet/shards; it may be deleted any time."""
    return Path(os.environ.get("RAPIDNET_CACHE") or Path.home() / ".cache" / "rapidnet") / "shards"


def open_store(url: str) -> Any:
    """The fsspec file system behind a URL or a local path.

    Raises:
        UserError: an unknown protocol, or one whose package is not installed.
    """
    options: dict[str, Any] = {}
    if url.startswith(("http://", "https://")):
        from aiohttp import ClientTimeout

        # aiohttp's own limit is five minutes for a whole file, however well it comes along.
        options["client_kwargs"] = {"timeout": ClientTimeout(total=None, sock_connect=30, sock_read=60)}
    try:
        return url_to_fs(url, **options)[0]
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{url} cannot be opened: {one_line(error)}; install that package or mend the address"
        ) from None


def is_local(store: Any) -> bool:
    return isinstance(store, LocalFileSystem)


def read_optional(store: Any, url: str) -> bytes | None:
    """The content of a small file, or None if there is none.

    Raises:
        UserError: the store does not answer.
    """
    try:
        return bytes(store.cat_file(url))
    except FileNotFoundError:
        return None
    # Every store has errors of its own, which share no base class.
    except Exception as error:
        if not is_local(store) and (isinstance(error, PermissionError) or getattr(error, "status", 0) in ABSENT):
            return None
        raise UserError(f"{url} cannot be read: {one_line(error)}; check the address and the permission") from None


def localize(store: Any, url: str, size: int | None = None, sha256: str = "") -> str:
    """The path of a local file with the shard's bytes: itself if it is local, else a copy in the cache.

    A copy is kept under the URL and the content's version, so that a shard that changes is fetched again. Processes
    that ask at the same time wait for the first one.

    Args:
        size, sha256: what the shard must be, if it is known.
    Raises:
        UserError: a missing shard, one of another size or content, a store that does not answer, a full disk.
    """
    try:
        info: dict[str, Any] = store.info(url) if is_local(store) or not sha256 else {"size": size}
    except Exception as error:
        # fsspec calls every failure of HTTP a missing file; what happened is the cause.
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in ABSENT:
            raise UserError(f"shard {url} is missing; copy it there or mend --data") from None
        raise UserError(f"shard {url} cannot be reached: {one_line(cause)}; check the address and try again") from None
    if is_local(store):
        _refuse_other_size(url, info["size"], size)
        return str(store._strip_protocol(url))
    version = sha256 or repr([(field, info[field]) for field in VERSION_FIELDS if field in info])
    key = hashlib.sha256(f"{url} {version}".encode()).hexdigest()[:16]
    target = cache_folder() / key / url.rsplit("/", 1)[-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        # Only a whole, checked file ever gets this name.
        if not target.is_file():
            download(store, url, target, info.get("size") if size is None else size, sha256)
    return str(target)


def download(store: Any, url: str, target: Path, size: int | None, sha256: str) -> None:
    """Fetch a file beside `target`, check it, and only then give it its name."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        store.get_file(url, str(partial))
        _refuse_other_size(url, partial.stat().st_size, size)
        with partial.open("rb+") as file:
            if sha256 and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise UserError(
                    f"shard {url} is not the one that index.json describes (another sha256); upload it again"
                )
            os.fsync(file.fileno())
        os.replace(partial, target)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = f"the shard cache {cache_folder()} is full at {url}"
            raise UserError(f"{why}; free some space or set RAPIDNET_CACHE to a folder on a larger disk") from None
        raise UserError(
            f"shard {url} could not be fetched: {one_line(error)}; "
            "run the command again, what is fetched already is kept"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _refuse_other_size(url: str, found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise UserError(f"shard {url} has {found} bytes where {expected} were expected; copy or write it again")
