"""Are other people's figures kept apart from ours, with where they come from and without a word they do not say?"""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rapidnet.benchmark.reports import read_hub_models, read_xcode
from rapidnet.cli import main
from rapidnet.environment import read_rows

LITERT, EXECUTORCH, ONNXRUNTIME = (
    (Path(__file__).parent / "recorded" / f"{name}.txt").read_text() for name in ("litert", "executorch", "onnxruntime")
)
SECONDS = [0.00131, 0.00128, 0.00127, 0.00129, 0.00135]
# Written for these tests, in the layout that public readers of such reports agree on.
XCODE = {
    "modelMetadata": {"fileName": "rapidnet_ti", "size": 12_300_000},
    "deviceInfo": {
        "modelName": "iPhone 16", "osNameAndVersionWithoutBuildNumber": "iOS 26.3", "displayName": "Somebody's phone",
        "serialNumber": "F4GT0SECRET", "deviceID": "00008140-SECRET",
    },
    "computeUnit": 3,
    "deviceResults": {
        "predict": {"samples": SECONDS, "numOperations": 75},
        "load": {"samples": [0.021, 0.02134, 0.03]},
        "compile": {"samples": [0.067]},
        "modelStructure": {"program": {"_0": {"functions": {"main": {"block": {"operations": [
            {"operatorName": "ios16.conv", "deviceUsage": {"preferred": {"deviceType": {"neuralEngine": {}}}}},
            {"operatorName": "ios16.gelu", "deviceUsage": {"preferred": {"deviceType": "neuralEngine"}}},
            {"operatorName": "ios16.softmax", "deviceUsage": {"preferred": {"deviceType": {"cpu": {}}}}},
            {"operatorName": "const"},
        ]}}}}}},
    },
}  # fmt: skip
# As qai_hub's download_profile gives it: microseconds and bytes.
PROFILE = {
    "execution_summary": {
        "estimated_inference_time": 556, "estimated_inference_peak_memory": 14_450_688, "first_load_time": 311_671,
        "warm_load_time": 198_597, "all_inference_times": [556, 570, 580, 601, 560],
    },
    "execution_detail": [{"name": "a", "type": "Conv2d", "compute_unit": "NPU"}] * 3
    + [{"name": "b", "type": "Softmax", "compute_unit": "CPU"}],
}  # fmt: skip
PERF = """supported_devices:
- Samsung Galaxy S24
precisions:
  float:
    components:
      MobileNet-v2:
        performance_metrics:
          Samsung Galaxy S24:
            tflite:
              job_id: jprejjmk5
              job_status: Passed
              inference_time_milliseconds: 0.556
              primary_compute_unit: NPU
              layer_counts:
                total: 71
                npu: 70
                cpu: 1
              tool_versions:
                tflite: 2.17.0
            onnx:
              job_id: j56nllkng
              job_status: Failed
  w8a8:
    components:
      MobileNet-v2:
        performance_metrics:
          Snapdragon X Elite CRD:
            qnn_dlc:
              inference_time_milliseconds: 0.4
              primary_compute_unit: NPU
"""
REPORTS = {
    "lite.txt": LITERT, "torch.log": EXECUTORCH, "ort.txt": ONNXRUNTIME, "profile.json": json.dumps(PROFILE),
    "perf.yaml": PERF,
}  # fmt: skip


def bring(tmp_path: Path, *files: str | Path) -> list[dict]:
    results = tmp_path / "rows.jsonl"
    assert main(["bench", "import", *map(str, files), "--results", str(results)]) == 0
    return read_rows(results)


def test_each_kind_of_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, text in REPORTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "ours.mlperf").mkdir()
    (tmp_path / "ours.mlperf" / "report.json").write_text(json.dumps(XCODE))
    rows = bring(tmp_path, *(tmp_path / name for name in (*REPORTS, "ours.mlperf")))
    kinds = [(row["source_file"], row["source_format"].split(" (")[0], row["runtime"]) for row in rows]
    assert kinds == [
        ("lite.txt", "LiteRT benchmark_model", "litert"),
        ("torch.log", "ExecuTorch executor_runner", "executorch"),
        ("ort.txt", "onnxruntime_perf_test", "onnx"),
        ("profile.json", "Qualcomm AI Hub's profile", "unknown"),
        ("perf.yaml", "Qualcomm AI Hub Models' perf.yaml", "litert"),
        ("perf.yaml", "Qualcomm AI Hub Models' perf.yaml", "qnn_dlc"),
        ("ours.mlperf", "Xcode's Core ML performance report", "coreml"),
    ]
    for row in rows:
        assert row["study"] == "bench_import" and row["measured_by"] == "imported, not measured by us"
        assert row["headline"] is False and row["numerics"] == "not checked by us"
        # What this computer is says nothing of where the figure was taken.
        assert set(row["imported"]) == {"time", "command", "git"} and "environment" not in row
    hashes = {row["source_file"]: row["source_sha256"] for row in rows}
    assert hashes["lite.txt"] == hashlib.sha256(LITERT.encode()).hexdigest()
    assert hashes["ours.mlperf"] == hashlib.sha256(json.dumps(XCODE).encode()).hexdigest()
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("imported, not measured by us") == 6 and "not run on a device by us" in said


def test_xcode(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(XCODE))
    (row,) = bring(tmp_path, tmp_path / "report.json")
    assert row["latency_ms_p90"] == pytest.approx(np.percentile(SECONDS, 90) * 1e3)
    assert row["latency_ms_p50"] == pytest.approx(1.29) and row["runs"] == 5
    assert row["load_ms"] == pytest.approx(21.34) and row["compile_ms"] == pytest.approx(67)
    assert (row["device"], row["system"], row["model"]) == ("iPhone 16", "iOS 26.3", "rapidnet_ti")
    assert row["compute_unit_asked"] == "cpu_ne"
    assert row["compute_unit_used"] == "Neural Engine 2, CPU 1, as planned"
    # Whose phone it was is nobody's business.
    assert "SECRET" not in json.dumps(row) and "Somebody" not in json.dumps(row)


def test_an_xcode_report_that_says_little() -> None:
    (reading,) = read_xcode({"deviceResults": {"predict": {"samples": SECONDS}}})
    assert (reading.device, reading.system, reading.unit_asked, reading.unit_used) == ("", "", "", "")
    assert read_xcode({"deviceResults": {"predict": {"samples": []}}}) == []


def test_a_zipped_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ours.mlperf.zip", "w") as archive:
        archive.writestr("ours.mlperf/report.json", json.dumps(XCODE))
        archive.writestr("__MACOSX/ours.mlperf/._report.json", b"\x00\x05\x16\x07")
    (row,) = bring(tmp_path, tmp_path / "ours.mlperf.zip")
    assert row["device"] == "iPhone 16" and row["source_file"] == "ours.mlperf.zip"


def test_ai_hub(tmp_path: Path) -> None:
    for name in ("profile.json", "perf.yaml"):
        (tmp_path / name).write_text(REPORTS[name])
    profile, first, second = bring(tmp_path, tmp_path / "profile.json", tmp_path / "perf.yaml")
    assert profile["latency_ms_stated"] == 0.556 and profile["latency_ms_p50"] == 0.57 and profile["runs"] == 5
    assert profile["load_ms"] == 311.671 and profile["peak_mb"] == pytest.approx(14.45, abs=0.01)
    assert profile["compute_unit_used"] == "NPU 3 layers, CPU 1 layers"
    assert {profile[name] for name in ("device", "system", "model", "precision", "threads")} == {"unknown"}
    # A figure without a word on which runs it stands for is no median.
    assert first["latency_ms_stated"] == 0.556 and "latency_ms_p50" not in first and first["runs"] == "unknown"
    assert (first["device"], first["precision"], first["model"]) == ("Samsung Galaxy S24", "float", "MobileNet-v2")
    assert first["compute_unit_used"] == "NPU 70 layers, CPU 1 layers" and first["job_id"] == "jprejjmk5"
    assert second["device"] == "Snapdragon X Elite CRD" and second["compute_unit_used"] == "NPU"


def test_logs_of_the_fields_they_have(tmp_path: Path) -> None:
    for name in ("lite.txt", "torch.log"):
        (tmp_path / name).write_text(REPORTS[name])
    lite, torch = bring(tmp_path, tmp_path / "lite.txt", tmp_path / "torch.log")
    assert lite["model"] == "0-model.tflite" and lite["threads"] == 4 and lite["device"] == "unknown"
    assert lite["latency_ms_mean"] == pytest.approx(15.9306) and "latency_ms_p90" not in lite
    assert torch["latency_ms_p90"] == pytest.approx(np.percentile([41.944288, 9.5, 9.4, 9.6], 90))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "notes.txt",
            b"it took 3 ms\n",
            "holds no result in a layout that is known here; known are LiteRT benchmark_model;",
        ),
        ("other.json", b'{"latency": 3}', "known are"),
        ("list.json", b"[1, 2]", "known are"),
        ("odd.json", json.dumps({"deviceResults": {"predict": {"samples": ["fast"]}}}).encode(), "known are"),
        ("odd.yaml", b"precisions: [1, 2\n", "known are"),
        ("bytes.bin", bytes(range(256)), "known are"),
    ],
)
def test_what_is_no_report(name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "good.txt").write_text(LITERT)
    (tmp_path / name).write_bytes(content)
    command = ["bench", "import", str(tmp_path / "good.txt"), str(tmp_path / name), "--results", str(tmp_path / "rows")]
    assert main(command) == 2
    shown = capsys.readouterr()
    assert said in shown.err and name in shown.err and len(shown.err.strip().splitlines()) == 1
    # Half an import would be brought in again with the next try.
    assert not (tmp_path / "rows").exists() and not shown.out


def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "import", str(tmp_path / "absent.txt")]) == 2
    assert "there is no report at" in capsys.readouterr().err
    assert main(["bench", "import", str(tmp_path)]) == 2
    assert "give a file, or an .mlperf folder with its report.json" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("other.txt", "text")
    assert main(["bench", "import", str(tmp_path / "other.zip")]) == 2
    assert "holds 0 files report.json" in capsys.readouterr().err
    assert main(["bench", "import"]) == 2
    assert "there is nothing to import" in capsys.readouterr().err


def test_networks_that_failed_are_left_out() -> None:
    assert read_hub_models({"precisions": {"float": {"components": {"net": {"performance_metrics": {}}}}}}) == []


def test_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "perf.yaml").write_text(PERF)
    assert main(["bench", "import", str(tmp_path / "perf.yaml"), "--json"]) == 0
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 2
