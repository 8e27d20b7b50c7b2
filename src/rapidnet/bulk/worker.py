"""What does one process do with one part: read its pictures, answer them, put its file in its place?"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidnet.bulk.answerer import open_answerer
from rapidnet.bulk.columns import build_schema
from rapidnet.bulk.folders import Folder, StoreError, open_folder
from rapidnet.bulk.job import Job
from rapidnet.bulk.listing import ListingReader, hash_names
from rapidnet.bulk.parts import Part, read_part, write_part
from rapidnet.config import Weights
from rapidnet.errors import UserError
from rapidnet.evaluation.read_ahead import Name
from rapidnet.images import BadImageError, EncodedImage

MAX_BYTES = 1 << 28
"""A larger file is no picture; it is not read."""
PAUSES = (1.0, 5.0)
"""Seconds to wait before asking a store again that did not answer."""


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to know beside the network, by names that hold in any process.

    root, shown: as in `Pictures`; output: the folder of the answers; strict: an unreadable picture stops the part.
    """

    job: Job
    root: str
    shown: str
    output: str
    weights: Weights
    strict: bool


class Worker:
    """Answers parts of a job.

    Raises:
        UserError: the network or the listing cannot be opened here.
    """

    def __init__(self, assignment: Assignment, network: str) -> None:
        self.assignment, self.job = assignment, assignment.job
        check_sees(assignment.root)
        self.pictures, self.output = open_folder(assignment.root), open_folder(assignment.output)
        try:
            self.listing = ListingReader(self.output)
        except (FileNotFoundError, PermissionError):
            raise UserError(
                f"a worker does not see {self.output.url}; give an --output that all of them see, such as a URL"
            ) from None
        self.answerer = open_answerer(network, assignment.weights, self.job.options["threads"])
        self.schema: Any = build_schema(self.job.task)

    def close(self) -> None:
        self.listing.close()

    def find(self, index: int) -> Part | None:
        """The part if it is answered already, by a worker that was lost before it could say so."""
        return read_part(self.output, self.job, index)

    def answer(self, index: int) -> Part:
        """Answer a part; its file is there afterwards.

        Raises:
            UserError: an unreadable picture where the policy is to stop, a store that does not answer.
        """
        import pyarrow as pa

        listed = {f"{self.assignment.shown}{found.name}": found for found in self.listing.read(index)}

        def fetch(name: Name) -> EncodedImage:
            found = listed[str(name)]
            return EncodedImage(str(name), fetch_picture(self.pictures, found.name, found.size, str(name)))

        rows, unreadable = [], 0
        for row in self.answerer.answer(list(listed), fetch, self.job.options):
            if row.get("error"):
                unreadable += 1
                if self.assignment.strict:
                    raise UserError(f"image {row['image']} is {row['error']}; mend it, or pass --bad-samples skip")
            rows.append(row)
        part = Part(index, len(rows), unreadable)
        facts = {"listing": hash_names(listed), "runtime": self.answerer.runtime}
        write_part(self.output, self.job, part, pa.Table.from_pylist(rows, schema=self.schema), facts)
        return part


def fetch_picture(folder: Folder, key: str, size: int, name: str) -> bytes:
    """A picture's bytes.

    Raises:
        BadImageError: it is not there, may not be read or is too large to be a picture.
        StoreError: the store does not answer, however often it is asked; that says nothing of the picture.
    """
    if size > MAX_BYTES:
        raise BadImageError(name, "oversized", f"{size} bytes, more than {MAX_BYTES}")
    for pause in (*PAUSES, None):
        try:
            return folder.read(key)
        except FileNotFoundError:
            raise BadImageError(name, "missing", "there is no such file") from None
        except (PermissionError, IsADirectoryError):
            raise BadImageError(name, "unreadable", "it may not be read") from None
        except StoreError:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def check_sees(root: str) -> None:
    """Raise UserError unless a folder of this machine is there; a URL will say so itself."""
    if not ("://" in root or Path(root).is_dir()):
        raise UserError(f"a worker does not see {root}; put the pictures where all of them see them, such as at a URL")
