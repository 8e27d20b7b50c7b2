"""Is the file of a part there, whole, and of this job? Its footer says so, which is written last."""

import io
from dataclasses import dataclass
from typing import Any

from rapidnet.bulk.folders import Folder
from rapidnet.bulk.job import Job

PREFIX = "rapidnet."


@dataclass(frozen=True)
class Part:
    """A part that is answered: its number and pictures, and how many of those could not be read."""

    index: int
    pictures: int
    unreadable: int


def name_part(index: int) -> str:
    return f"part-{index:06d}.parquet"


def write_part(output: Folder, job: Job, part: Part, table: Any, facts: dict[str, str]) -> None:
    """Put a part's rows in their place; `facts` are added to what its footer says."""
    from pyarrow import parquet

    said = {"job": job.id, "part": str(part.index), "unreadable": str(part.unreadable)} | facts
    metadata = {f"{PREFIX}{key}": value for key, value in said.items()}
    buffer = io.BytesIO()
    # A flipped bit in a page is noticed by whoever reads it with page_checksum_verification.
    parquet.write_table(table.replace_schema_metadata(metadata), buffer, compression="zstd", write_page_checksum=True)
    output.write(name_part(part.index), buffer.getvalue())


def read_part(output: Folder, job: Job, index: int) -> Part | None:
    """What a part's file says of it; None if there is none, or one that is cut short, foreign or of another job."""
    from pyarrow import parquet

    try:
        with output.open(name_part(index)) as file:
            footer = parquet.read_metadata(file)
    # Whatever is wrong with it, it is made again; a store that does not answer will say so then.
    except Exception:
        return None
    said = {key.decode(): value.decode() for key, value in (footer.metadata or {}).items()}
    if (said.get(f"{PREFIX}job"), said.get(f"{PREFIX}part")) != (job.id, str(index)):
        return None
    if footer.num_rows != job.count(index):
        return None
    return Part(index, footer.num_rows, int(said[f"{PREFIX}unreadable"]))
