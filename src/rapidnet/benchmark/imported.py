"""How do latencies that others measured become rows, with where they come from and without a claim of ours?"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from rich.console import Console

from rapidnet.benchmark.device_report import print_imports
from rapidnet.benchmark.machine import UNKNOWN
from rapidnet.benchmark.reports import JSON_READERS, YAML_READERS, parse_mapping
from rapidnet.benchmark.runner_logs import READERS, Reading
from rapidnet.config.bench import BenchImportConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError

STUDY = "bench_import"
MEASURED_BY = "imported, not measured by us"
NUMERICS = "not checked by us"
REPORT = "report.json"
"""What an .mlperf folder holds."""
LARGEST = 64_000_000
"""Bytes of a report; the largest seen is a few megabytes."""
KNOWN = (*READERS, *JSON_READERS, *YAML_READERS)


def run_import(config: BenchImportConfig) -> int:
    """The bench import command: always 0.

    Raises:
        UserError: a file that cannot be read, or that is no report of a kind we know; nothing is written then.
    """
    rows = [row for name in config.files for row in import_file(Path(name))]
    for row in rows:
        if config.results:
            append_row(config.results, row)
        if config.json:
            print(json.dumps(row))
    if not config.json:
        print_imports(rows, Console())
    return 0


def import_file(path: Path) -> list[dict[str, Any]]:
    """A row for each result in a report."""
    data = read_report(path)
    kind, readings = recognise(data.decode("utf-8", errors="replace"))
    if not readings:
        raise UserError(f"{path} holds no result in a layout that is known here; known are {'; '.join(KNOWN)}")
    environment = describe_environment()
    source = {
        "source_file": path.name,
        "source_sha256": hashlib.sha256(data).hexdigest(),
        "source_format": kind,
        # Of this computer only who read the report, and when: its processor measured nothing.
        "imported": {key: environment[key] for key in ("time", "command", "git")},
    }
    return [describe_reading(reading) | source for reading in readings]


def read_report(path: Path) -> bytes:
    """The text of a report: of a file, of report.json in a folder, or of the one report.json in a zip of that folder.

    Raises:
        UserError: nothing there, no report in it, or too large for one.
    """
    if path.is_dir():
        path = path / REPORT
    if not path.is_file():
        raise UserError(f"there is no report at {path}; give a file, or an .mlperf folder with its {REPORT}")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} is too large for a report ({path.stat().st_size / 1e6:.0f} MB); give one that is text")
    data = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = [item for item in archive.infolist() if PurePosixPath(item.filename).name == REPORT]
        # A Mac's zip also holds __MACOSX/._report.json, whose name differs.
        if len(found) != 1 or found[0].file_size > LARGEST:
            raise UserError(
                f"{path} holds {len(found)} files {REPORT}; zip one .mlperf folder, or name the folder itself"
            )
        return archive.read(found[0])


def recognise(text: str) -> tuple[str, list[Reading]]:
    """The name of the layout and what it says; ("", []) if it is none that is known."""
    as_json = parse_mapping(json.loads, text)
    if as_json is not None:
        return first_that_reads(JSON_READERS, as_json)
    kind, readings = first_that_reads(READERS, text)
    if not readings and "precisions:" in text:
        as_yaml = parse_mapping(yaml.safe_load, text)
        return first_that_reads(YAML_READERS, as_yaml) if as_yaml is not None else ("", [])
    return kind, readings


def first_that_reads(readers: Mapping[str, Any], content: Any) -> tuple[str, list[Reading]]:
    for name, read in readers.items():
        try:
            readings = read(content)
        except (AttributeError, KeyError, TypeError, ValueError):
            # Its marks, but not its layout.
            continue
        if readings:
            return name, readings
    return "", []


def describe_reading(reading: Reading) -> dict[str, Any]:
    """What a report says, in the words of our rows; what it does not say is unknown."""
    stated = {
        "model": PurePosixPath(reading.network).name, "runtime": reading.runtime, "precision": reading.precision,
        "device": reading.device, "system": reading.system, "threads": reading.threads, "runs": reading.runs,
        "compute_unit_asked": reading.unit_asked, "compute_unit_used": reading.unit_used,
    }  # fmt: skip
    row: dict[str, Any] = {"study": STUDY, "measured_by": MEASURED_BY, "numerics": NUMERICS, "headline": False}
    row |= {name: UNKNOWN if value in ("", None) else value for name, value in stated.items()}
    return row | reading.figures | reading.facts
