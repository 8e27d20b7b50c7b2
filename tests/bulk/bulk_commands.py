"""The predict command with --output, small parts, and what it leaves."""

from pathlib import Path
from typing import Any

from pyarrow import parquet

from rapidnet.bulk.predict import run_predict
from rapidnet.config import PredictConfig

SRC = Path(__file__).parents[2] / "src"
BAD = (3, 17)
"""Numbers of the pictures that cannot be read."""


def bulk(run: Path, images: Path | str, output: Path | str, **options: Any) -> None:
    settings = {"part_images": 10, "batch_size": 4} | options
    assert run_predict(PredictConfig(str(run), str(images), output=str(output), **settings)) == 0


def read_folder(folder: Path) -> dict[str, bytes]:
    """Its files, without those that nobody is meant to read."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def read_rows(folder: Path | str) -> list[dict[str, Any]]:
    return parquet.read_table(folder, page_checksum_verification=True).to_pylist()
