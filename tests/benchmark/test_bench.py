"""Is a latency only given to a network whose numbers are right, on a machine that is quiet?"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import export_untrained
from rapidnet.benchmark import bench, estimates
from rapidnet.benchmark.machine import Usage, measure_others, read_usage
from rapidnet.benchmark.peers import load_peers
from rapidnet.benchmark.schedule import MODES
from rapidnet.cli import main
from rapidnet.environment import read_rows
from rapidnet.runtimes.bundle import open_bundle

slow = pytest.mark.slow
LATENCIES = ("latency_ms_p50", "latency_ms_p90", "latency_ms_p99", "split_ms", "gflops")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few runs, and no verdict on how steady a machine is that runs tests."""
    mode = replace(MODES["quick"], runs=12, seconds=0, blocks=6, warm_runs=1, warm_seconds=0)
    monkeypatch.setitem(MODES, "quick", mode)
    monkeypatch.setattr(estimates, "MAX_SPREAD", 1e9)
    monkeypatch.setattr(estimates, "MAX_DRIFT", 1e9)
    monkeypatch.setattr(bench, "MAX_OTHERS", 1e9)


@pytest.mark.usefixtures("brief")
def test_bundles_and_names_in_one_run(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results = tmp_path / "bench.jsonl"
    options = ["--against", "mobilenetv2_050,rapidnet_ti@eager", "--image-size", "64", "--mode", "quick"]
    kept = ["--keep", str(tmp_path / "kept"), "--results", str(results), "--pareto", str(tmp_path / "pareto.png")]
    assert main(["bench", str(bundle), *options, *kept]) == 0
    rows = read_rows(results)
    networks = {(row["model"], row["runtime"]): row for row in rows if row["study"] == "bench"}
    assert set(networks) == {("rapidnet_ti", "onnx"), ("mobilenetv2_050", "onnx"), ("rapidnet_ti", "eager")}
    ours = networks["rapidnet_ti", "onnx"]
    assert ours["verdict"] == "steady" and not ours["headline"]
    assert 0 < ours["latency_ms_p50"] <= ours["latency_ms_p90"] <= ours["latency_ms_p99"]
    assert ours["gflops"] == pytest.approx(2 * ours["gmacs"] / ours["latency_ms_p50"] * 1e3)
    assert ours["gemm_share"] == pytest.approx(ours["gflops"] / ours["gemm_gflops"])
    assert ours["params_m"] == pytest.approx(6.07, abs=0.01) and ours["file_mb"] > 20
    assert len(ours["sha256"]) == 64 and ours["threads"] == 1 and ours["environment"]["cpu"]
    assert ours["opened"].startswith("onnxruntime") and ours["used_by_others"] is not None
    # A bundle without torch costs less memory than torch itself.
    assert ours["peak_mb"] < networks["rapidnet_ti", "eager"]["peak_mb"]
    ratios = {(row["against_model"], row["against_runtime"]): row for row in rows if row["study"] == "bench_ratio"}
    assert set(ratios) == {("mobilenetv2_050", "onnx"), ("rapidnet_ti", "eager")}
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in ratios.values())
    assert (tmp_path / "kept" / "mobilenetv2_050-onnx-fp32" / "card.json").is_file()
    assert (tmp_path / "pareto.png").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "quick: indicative only" in said and "GEMM" in said
    # The picture can be drawn from the rows alone.
    assert main(["bench", "--pareto", str(tmp_path / "again.png"), "--results", str(results)]) == 0
    assert (tmp_path / "again.png").stat().st_size > 10_000


@pytest.mark.usefixtures("brief")
def test_batches_take_turns_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One peer stands for all.
    monkeypatch.setattr("rapidnet.benchmark.measured_peers.load_peers", lambda: load_peers()[1:2])
    results, picture = tmp_path / "bench.jsonl", tmp_path / "scaling.png"
    options = ["--batch", "1,3", "--image-size", "32", "--against", "peers", "--mode", "quick"]
    kept = ["--keep", str(tmp_path / "kept"), "--results", str(results), "--scaling", str(picture)]
    assert main(["bench", "mobilenetv2_050", *options, *kept]) == 0
    rows = [row for row in read_rows(results) if row["study"] == "bench"]
    points = [(row["model"], row["batch"], row["image_size"]) for row in rows]
    assert points == [(name, batch, 32) for name in ("mobilenetv2_050", "mobilenetv2_100") for batch in (1, 3)]
    for row in rows:
        assert row["images_per_s"] == pytest.approx(row["batch"] / row["latency_ms_p50"] * 1e3)
        assert row["gflops"] == pytest.approx(2 * row["gmacs"] * row["batch"] / row["latency_ms_p50"] * 1e3)
        # A photograph is one image.
        assert bool(row["split_ms"]) == (row["batch"] == 1)
    ratios = [row for row in read_rows(results) if row["study"] == "bench_ratio"]
    assert [(row["against_model"], row["batch"]) for row in ratios] == [("mobilenetv2_100", 1), ("mobilenetv2_100", 3)]
    assert picture.stat().st_size > 10_000
    # Every batch has a bundle of its own, of the same network; a short portion is filled up.
    one, three = (tmp_path / "kept" / f"batch{batch}-32px" / "mobilenetv2_050-onnx-fp32" for batch in (1, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    opened = open_bundle(three, 1)
    assert opened.network.batch == opened.card["input"]["min_batch"] == opened.card["input"]["max_batch"] == 3
    assert np.allclose(opened.predict(pixels), open_bundle(one, 1).predict(pixels), atol=1e-6)
    assert main(["bench", str(three), "--mode", "quick"]) == 2


@pytest.mark.usefixtures("brief")
def test_a_busy_machine_gets_no_number(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(bench, "MAX_OTHERS", 0.05)
    monkeypatch.setattr(bench, "measure_others", lambda before, after: 0.4)
    assert main(["bench", str(bundle), "--mode", "quick", "--json"]) == 3
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["verdict"] == "unstable" and row["reasons"][0].startswith("others used 40%")
    assert not set(LATENCIES) & set(row)
    assert main(["bench", str(bundle), "--mode", "quick"]) == 3
    assert "unstable" in capsys.readouterr().out


@pytest.mark.usefixtures("brief")
def test_an_uneven_machine_gets_no_number(bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(estimates, "MAX_SPREAD", -1.0)
    assert main(["bench", str(bundle), "--mode", "quick", "--results", str(tmp_path / "rows.jsonl")]) == 3
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert "the runs spread by" in row["reasons"][0] and not set(LATENCIES) & set(row)


def test_a_wrong_network_gets_no_latency(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import shutil

    shutil.copytree(bundle, tmp_path / "wrong")
    artifact = tmp_path / "wrong" / "model.onnx"
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(data)
    assert main(["bench", str(tmp_path / "wrong")]) == 2
    assert "is not the file that was certified" in capsys.readouterr().err


def test_a_network_that_fails_its_checks_gets_no_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from rapidnet.export import untrained

    monkeypatch.setitem(untrained.TOLERANCES["fp32"], "sqnr_db", 500)
    arguments = ["bench", "rapidnet_ti", "--image-size", "64", "--keep", str(tmp_path)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "rapidnet_ti in onnx, fp32, fails its checks (real inputs: SQNR" in said and "gets no latency" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rapidnet_t"], "'rapidnet_t' is neither a bundle, a run, a network nor a peer (did you mean 'rapidnet_ti'?)"),
        (["rapidnet_ti", "--runtime", "onx"], "runtime 'onx' is unknown (did you mean 'onnx'?)"),
        (["rapidnet_ti", "--precision", "fp8"], "precision 'fp8' is unknown"),
        (["rapidnet_ti", "--threads", "0"], "threads '0' is no positive number"),
        (["rapidnet_ti", "--runtime", "ncnn", "--precision", "int8"], "rapidnet_ti cannot be measured: "),
        (["rapidnet_ti", "--runtime", "onnx", "--precision", "bf16"], "onnx does not compute in bf16; openvino does"),
        (["rapidnet_ti", "--runtime", "eager", "--precision", "int8"], "eager torch is measured in fp32, not in int8"),
        (["rapidnet_ti", "--against", "rapidnet_ti@eagr"], "runtime 'eagr' is unknown (did you mean 'eager'?)"),
        ([], "there is nothing to measure"),
        (["rapidnet_ti", "--profile", "--against", "rapidnet_s"], "profile has no use for against"),
    ],
)
def test_what_a_user_gets_wrong(arguments: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "runtime",
    ["onnx", "openvino", pytest.param("executorch", marks=slow), pytest.param("litert", marks=slow)],
)
def test_where_the_time_goes(runtime: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = bundle if runtime == "onnx" else export_untrained("rapidnet_ti", tmp_path, runtime)
    assert main(["bench", str(path), "--profile", "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(kind["share"] for kind in row["kinds"]) == pytest.approx(1)
    assert row["ms"] == pytest.approx(sum(kind["ms"] for kind in row["kinds"]))
    assert row["ms"] == pytest.approx(sum(unit["ms"] for unit in row["units"])) and row["fastest_ms"] > 0
    convolutions = [kind for kind in row["kinds"] if "conv" in kind["kind"].lower() or "GEMM" in kind["kind"]]
    assert sum(kind["share"] for kind in convolutions) > 0.4
    # OpenVINO computes its GELUs within the convolutions.
    assert any("gelu" in kind["kind"].lower() for kind in row["kinds"]) == (runtime != "openvino")
    assert main(["bench", str(path), "--profile"]) == 0
    said = capsys.readouterr().out
    assert "arithmetic" in said and "Run by: CPU" in said
    assert ("Left out of the delegate: " in said) == (runtime in ("executorch", "litert"))


def test_what_is_not_profiled(capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "rapidnet_ti", "--runtime", "eager", "--profile"]) == 2
    said = capsys.readouterr().err
    assert "eager is not profiled; give a runtime that an exported network runs in" in said


def test_what_others_used() -> None:
    before, after = Usage(at=10.0, machine=100.0, own=50.0), Usage(at=14.0, machine=107.0, own=54.0)
    from os import cpu_count

    assert measure_others(before, after) == pytest.approx(3 / 4 / (cpu_count() or 1))
    assert measure_others(before, None) is None
    # Rounding to clock ticks must not make it negative.
    assert measure_others(before, Usage(14.0, 103.0, 54.0)) == 0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the use of processors is read from /proc")
def test_own_work_is_not_others() -> None:
    before = read_usage([])
    total = sum(i * i for i in range(4_000_000))
    after = read_usage([])
    assert before is not None and after is not None and total
    assert after.own - before.own > 0.05
