"""Does the doctor know what is installed, and are the tested versions those of the lock?"""

import json
import re
from pathlib import Path

import pytest

from rapidnet.cli import main
from rapidnet.runtimes import doctor
from rapidnet.runtimes.formats import FORMATS, TESTED


def test_tested_versions_are_the_locks() -> None:
    lock = (Path(__file__).parents[2] / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.M))
    assert {name: locked[name] for name in TESTED} == TESTED
    assert {name for kind in FORMATS.values() for name in kind.runs_with + kind.converts_with} == set(TESTED)


def test_every_backend_is_installed_here() -> None:
    # A backend we claim and do not test is red, not skipped.
    missing = [p["name"] for row in doctor.describe_runtimes() for p in row["packages"] if p["installed"] is None]
    assert not missing


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    real = doctor.version

    def version(name: str) -> str:
        if name == "ncnn":
            raise doctor.PackageNotFoundError(name)
        return "0.1" if name == "onnx" else real(name)

    monkeypatch.setattr(doctor, "version", version)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "ncnn: pip install 'rapidnet[ncnn]'" in shown and "missing" in shown
    assert main(["doctor", "--json"]) == 0
    rows = {row["format"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(FORMATS) and rows["ncnn"]["install"] and not rows["onnx"]["install"]
    assert rows["onnx"]["packages"][1] == {
        "name": "onnx",
        "needed_to": "export",
        "installed": "0.1",
        "tested": TESTED["onnx"],
    }
