"""Where are shards written to, so that a stopped command leaves nothing that looks finished?"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rapidnet.data.shard_cache import is_local, one_line, open_store
from rapidnet.data.shard_index import INDEX, UNFINISHED
from rapidnet.environment import write_text_atomically
from rapidnet.errors import UserError


class Target:
    """Where shards are written: a folder or any store of fsspec. Nothing half-written has a shard's name there."""

    def __init__(self, url: str) -> None:
        self.url, self.store = url.removeprefix("file://").rstrip("/"), open_store(url)

    def begin(self) -> None:
        """Mark the place as unfinished; refuses one that holds anything."""
        with self._explained():
            if self.store.exists(self.url) and (not self.store.isdir(self.url) or self.store.ls(self.url)):
                raise UserError(f"--output {self.url} is not empty; empty it or choose another folder")
            self.store.makedirs(self.url, exist_ok=True)
            self.store.pipe_file(f"{self.url}/{UNFINISHED}", b"rapidnet data shard is at work here, or was stopped\n")

    @contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """A local path to write a shard to; it is put in its place when the block ends well."""
        if is_local(self.store):
            partial = Path(self.url) / f".{name}.partial"
            try:
                yield partial
                os.replace(partial, Path(self.url) / name)
            finally:
                partial.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="rapidnet-shard-") as folder:
            yield Path(folder) / name
            with self._explained():
                self.store.put_file(str(Path(folder) / name), f"{self.url}/{name}")

    def finish(self, index: str) -> None:
        """Write the index, which makes the shards a data set, and take the mark away."""
        if is_local(self.store):
            write_text_atomically(Path(self.url) / INDEX, index)
        with self._explained():
            if not is_local(self.store):
                self.store.pipe_file(f"{self.url}/{INDEX}", index.encode())
            self.store.rm_file(f"{self.url}/{UNFINISHED}")

    @contextmanager
    def _explained(self) -> Iterator[Any]:
        try:
            yield
        except UserError:
            raise
        # Every store has errors of its own, which share no base class; the disk's are explained by the command line.
        except Exception as error:
            if is_local(self.store) and isinstance(error, OSError):
                raise
            why = "it cannot be written to" if isinstance(error, NotImplementedError) else one_line(error)
            raise UserError(
                f"--output {self.url} failed: {why}; choose another place or ask for the permission"
            ) from None
