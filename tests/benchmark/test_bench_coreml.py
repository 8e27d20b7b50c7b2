"""Is a Core ML bundle timed by Core ML, where it was asked for and its numbers were checked, or not at all?"""

import importlib.util
import json
import platform
from pathlib import Path

import pytest
from fake_phone import build_bundle
from rich.console import Console

from conftest import export_untrained
from rapidnet.benchmark import contestants
from rapidnet.benchmark.bench_report import describe_units, print_report
from rapidnet.benchmark.contestants import build_contestants
from rapidnet.cli import main
from rapidnet.config import BenchConfig

STAND_IN = Path(__file__).parent / "fake_coreml"


@pytest.mark.skipif(platform.system() == "Darwin", reason="a Mac does run Core ML")
def test_elsewhere_than_on_a_mac_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(contestants, "verify_apart", lambda path, **options: pytest.fail("checked for nothing"))
    bundle = build_bundle(tmp_path / "ours", "coreml", files={})
    reason = (
        f"Core ML runs on macOS only, and this is {platform.system()}; run rapidnet bench on a Mac, or read Xcode's"
    )
    for words in ([str(bundle)], [str(bundle), "--compute-unit", "cpu_ne"], ["rapidnet_ti", "--runtime", "coreml"]):
        assert main(["bench", *words]) == 2
        said = capsys.readouterr().err
        assert f"{words[0]} cannot be measured: {reason}" in " ".join(said.split())
        assert len(said.strip().splitlines()) == 1


def test_on_a_mac_numbers_are_checked_on_the_unit_that_is_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    checked: list[tuple[str, dict]] = []
    monkeypatch.setattr(contestants, "verify_apart", lambda path, **options: checked.append((path, options)))
    bundle = build_bundle(tmp_path / "ours", "coreml", files={})
    for asked, used in (("cpu_ne", "cpu_ne"), ("", "all")):
        config = BenchConfig([str(bundle)], compute_unit=asked)  # type: ignore[arg-type]
        (item,) = build_contestants(config, config.what, tmp_path, Console(quiet=True))
        assert item.arguments["unit"] == used and checked.pop() == (str(bundle), {"unit": used})


def test_a_unit_for_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(contestants, "verify_apart", lambda path, **options: None)
    bundle = build_bundle(tmp_path / "ours", "onnx")
    assert main(["bench", str(bundle), "--compute-unit", "cpu"]) == 2
    assert "compute_unit has no effect without a Core ML bundle" in capsys.readouterr().err
    assert main(["bench", str(bundle), "--compute-unit", "npu"]) == 2
    assert "'cpu_ne'" in capsys.readouterr().err


def test_the_units_are_said() -> None:
    def row(name: str, asked: str, used: str) -> dict:
        return {"name": name, "compute_unit_asked": asked, "compute_unit_used": used}

    assert describe_units([row("a", "CPU", "CPU"), row("b", "CPU", "CPU")]) == "compute unit asked for and used: CPU"
    assert describe_units([row("a", "all", "unknown")]) == "compute unit asked for: all, used: unknown"
    both = describe_units([row("a", "all", "GPU 3, as planned"), row("b", "CPU", "CPU")])
    assert both == "compute unit of a asked for: all, used: GPU 3, as planned, of b asked for: CPU, used: CPU"


@pytest.mark.parametrize(("runtime", "said"), [("litert", True), ("coreml", True), ("onnx", False)])
def test_a_computers_figure_is_not_taken_for_a_phones(runtime: str, said: bool, capsys: pytest.CaptureFixture) -> None:
    row = {
        "study": "bench", "name": "ours", "runtime": runtime, "precision": "fp32", "threads": 1, "batch": 1,
        "image_size": 224, "reasons": [], "mode": "quick", "governor": "unknown", "turbo": "unknown",
        "load_before": "unknown",
        "load_after": "unknown", "used_by_others": 0.01, "gemm_gflops": 100.0, "gemm": "numpy",
        "compute_unit_asked": "CPU", "compute_unit_used": "CPU",
        "environment": {"cpu": "A Processor", "cpu_count": 2, "os": "Linux x86_64"},
    }  # fmt: skip
    print_report([row], Console(width=200))
    assert (f"{runtime}: not run on a device, these are this computer's figures" in capsys.readouterr().out) == said


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("coremltools") is None, reason="converting needs coremltools")
def test_the_whole_way_on_what_passes_for_a_mac(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    bundle = export_untrained("rapidnet_ti", tmp_path, "coreml")
    # For the processes that check and time it; this one goes by the same name of the system.
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", f"{STAND_IN}:{Path(contestants.__file__).parents[2]}")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert main(["bench", str(bundle), "--compute-unit", "cpu_ne", "--mode", "quick", "--json"]) in (0, 3)
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["opened"].endswith("Core ML on macOS") and row["runs"] >= 100
    assert row["compute_unit_asked"] == "cpu_ne" and row["compute_unit_used"] == "unknown"
