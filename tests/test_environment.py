"""Does every row say what produced it, and is no file ever half-written?"""

import json
from pathlib import Path

import pytest

from rapidnet.environment import append_row, describe_environment, read_rows, write_text_atomically


def test_describes_versions_hardware_and_command() -> None:
    facts = describe_environment()
    assert facts["packages"]["rapidnet"] == "0.1.0"
    assert facts["cpu_count"] >= 1
    assert facts["time"].endswith("+00:00")
    assert json.loads(json.dumps(facts)) == facts


def test_rows_survive_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    append_row(path, {"a": 1})
    append_row(path, {"a": 2})
    with path.open("a") as file:
        file.write('{"a": ')
    assert read_rows(path) == [{"a": 1}, {"a": 2}]


def test_text_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_text_atomically(path, "first")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text_atomically(path, "second")
    assert path.read_text() == "first"
