"""Does a phone's figure say no more than its runner told, and does every mishap there end in one sentence?

No phone is attached where these run: `fake_phone` answers as adb and the runners do.
"""

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_phone import EXECUTORCH, LITERT, OLD_EXECUTORCH, READY, SERIAL, THERMAL, FakePhone, build_bundle, build_phone

from conftest import export_untrained
from rapidnet.benchmark import contestants
from rapidnet.benchmark.schedule import MODES
from rapidnet.cli import main
from rapidnet.environment import read_rows
from rapidnet.errors import UserError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program that stands in for adb is a shell script")


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePhone:
    mode = replace(MODES["quick"], runs=24, seconds=0, blocks=6)
    monkeypatch.setitem(MODES, "quick", mode)
    monkeypatch.setitem(MODES, "standard", replace(mode, headline=True))
    return build_phone(tmp_path, monkeypatch)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bundles that the host was to check, which for these is taken as passed."""
    names: list[str] = []
    monkeypatch.setattr(contestants, "verify_apart", lambda path, **options: names.append(path))
    return names


def measure(phone: FakePhone, tmp_path: Path, *words: str | Path, code: int = 0) -> list[dict]:
    results = tmp_path / "rows.jsonl"
    results.unlink(missing_ok=True)
    options = ["--android", "--runner", str(phone.runner), "--results", str(results)]
    assert main(["bench", *map(str, words), *options]) == code
    return read_rows(results)


def refuse(phone: FakePhone, capsys: pytest.CaptureFixture, *words: str | Path) -> str:
    assert main(["bench", *map(str, words)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    return said[0]


def test_every_run_is_told(phone: FakePhone, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = build_bundle(tmp_path / "ours", "executorch")
    (row,) = measure(phone, tmp_path, path)
    assert checked == [str(path)]
    # Each call: 24 / 6 runs that count, after half a second of warming up (50 runs of 10 ms), the first one slow.
    assert "--num_executions=20 " in phone.calls[0]
    counted = [int(call.partition("--num_executions=")[2].split()[0]) for call in phone.calls[1:]]
    warm = counted[0] - 4
    assert len(counted) == 6 and set(counted) == {counted[0]} and 30 < warm <= 50
    assert all("--cpu_threads=1 2>&1" in call for call in phone.calls)
    times = 6 * [10 + (run % 5) / 100 for run in range(warm + 1, warm + 5)]
    assert row["latency_ms_p90"] == pytest.approx(np.percentile(times, 90))
    assert row["latency_ms_p50"] == pytest.approx(np.median(times)) and row["latency_ms_p99"] < 10.05
    assert row["told"] == "every run" and row["runs"] == 24 and row["blocks"] == 6
    assert row["first_ms"] == pytest.approx(40.01) and row["load_ms"] == 29.49
    assert row["study"] == "bench_android" and row["verdict"] == "steady" and row["headline"]
    assert row["numerics"] == "checked on the host, not on the device"
    assert row["device"]["model"] == "Pixel 7" and row["device"]["soc"] == "GS201" and row["device"]["android"] == "14"
    assert row["device"]["abi"] == "arm64-v8a" and not row["device"]["emulator"]
    assert row["device"]["clocks"]["policy6"] == {"governor": "sched_pixel", "max_mhz": 2850}
    for moment in ("before", "after"):
        # Of the sensors the warmest of each kind, as they are now; of the battery not what its log of events says.
        assert row[moment]["temperatures_c"] == {"CPU": 41.5, "skin": 31.2} and row[moment]["thermal"] == "none"
        assert (row[moment]["battery_percent"], row[moment]["battery"], row[moment]["battery_c"]) == (
            81,
            "charging",
            27.4,
        )
    assert row["compute_unit_asked"] == "CPU" and row["compute_unit_used"] == "unknown"
    assert len(row["runner"]["sha256"]) == 64
    assert phone.leftovers == []
    said = " ".join(capsys.readouterr().out.split())
    assert "checked on the host, not on the device" in said and "--device-kit" in said and "Pixel 7" in said


def test_averages_are_no_percentiles(phone: FakePhone, checked: list[str], tmp_path: Path) -> None:
    phone.write("program", LITERT)
    (row,) = measure(phone, tmp_path, build_bundle(tmp_path / "ours", "litert"))
    assert "--use_xnnpack=true" in phone.calls[1] and "--num_threads=1 " in phone.calls[1]
    assert "--num_runs=4 --min_secs=0" in phone.calls[1] and "--warmup_runs=5" in phone.calls[1]
    averages = [(9000 + 10 * (call % 3)) / 1e3 for call in range(2, 8)]
    assert row["latency_ms_mean"] == pytest.approx(np.mean(averages))
    assert row["block_mean_ms_p90"] == pytest.approx(np.percentile(averages, 90))
    # What one call says of its own runs keeps a name of its own.
    assert row["call_ms_p95"] == 9.3 and row["call_ms_p50"] == pytest.approx(np.median(averages) - 0.005)
    assert not {"latency_ms_p50", "latency_ms_p90", "latency_ms_p99"} & set(row)
    assert row["told"] == "averages" and row["compute_unit_used"] == "XNNPACK 178 of 180 operators"
    assert row["inputs"] == "random" and phone.leftovers == []


def test_an_older_runner_tells_the_sum(phone: FakePhone, checked: list[str], tmp_path: Path) -> None:
    phone.write("program", OLD_EXECUTORCH)
    (row,) = measure(phone, tmp_path, build_bundle(tmp_path / "ours", "executorch"))
    assert row["told"] == "averages with the warm-up" and row["latency_ms_mean"] > 10.4
    assert "latency_ms_p90" not in row and "first_ms" not in row


def test_two_networks_take_turns_and_are_compared(
    phone: FakePhone, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    ours, theirs = (build_bundle(tmp_path / name, "executorch") for name in ("ours", "theirs"))
    rows = measure(phone, tmp_path, theirs, "--against", str(ours), "--threads", "2")
    assert [row["study"] for row in rows] == ["bench_android", "bench_android", "bench_android_ratio"]
    # The program takes 20 ms for the second file, 10 for the first.
    assert rows[0]["latency_ms_p50"] == pytest.approx(10, abs=0.1)
    assert rows[1]["latency_ms_p50"] == pytest.approx(20, abs=0.1)
    assert rows[2]["ratio"] == pytest.approx(0.5, abs=0.01) and rows[2]["verdict"] == "faster"
    files = [call.partition("--model_path=")[2][0] for call in phone.calls[2:]]
    assert sorted(files[:2]) == ["0", "1"] and files.count("0") == files.count("1") == 6
    assert files != ["0", "1"] * 6, "their order is drawn anew each round"
    assert all("--cpu_threads=2" in call for call in phone.calls)
    assert "0.50" in capsys.readouterr().out


def test_a_drifting_phone_gets_no_figure(
    phone: FakePhone, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    phone.write("program", LITERT)
    phone.write("step", "150")
    (row,) = measure(phone, tmp_path, build_bundle(tmp_path / "ours", "litert"), code=3)
    assert row["verdict"] == "unstable" and not row["headline"] and "the latency drifted by +" in row["reasons"][0]
    assert not [key for key in row if key.startswith(("latency_ms", "block_mean", "call_ms"))]
    assert "unstable" in capsys.readouterr().out


def test_a_hot_phone_gets_no_figure(phone: FakePhone, checked: list[str], tmp_path: Path) -> None:
    phone.write("thermal", THERMAL.replace("Status: 0", "Status: 2"))
    (row,) = measure(phone, tmp_path, build_bundle(tmp_path / "ours", "executorch"), code=3)
    assert row["reasons"][0] == "the device slows itself down for heat: thermal status moderate before"
    assert row["before"]["thermal"] == "moderate" and "latency_ms_p50" not in row


def test_what_a_device_does_not_tell_is_unknown(phone: FakePhone, checked: list[str], tmp_path: Path) -> None:
    for name in ("getprop", "thermal", "battery", "clocks"):
        phone.write(name, "Permission denied\n")
    (row,) = measure(phone, tmp_path, build_bundle(tmp_path / "ours", "executorch"))
    assert {row["device"][name] for name in ("model", "soc", "android", "abi", "clocks")} == {"unknown"}
    assert set(row["before"].values()) == {"unknown"} and row["verdict"] == "steady"


def test_an_emulator_is_no_phone(
    phone: FakePhone, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    phone.write("getprop", (phone.folder / "getprop").read_text() + "[ro.kernel.qemu]: [1]\n")
    (row,) = measure(phone, tmp_path, build_bundle(tmp_path / "ours", "executorch"))
    assert row["device"]["emulator"] and not row["headline"]
    assert "no phone's figures" in " ".join(capsys.readouterr().out.split())


def test_the_serial_number_stays_here(
    phone: FakePhone, checked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    phone.write("devices", f"{READY}\nemulator-5554  device product:sdk model:sdk_gphone64 device:emu transport_id:5\n")
    words = ["bench", str(build_bundle(tmp_path / "ours", "executorch")), "--android", SERIAL, "--json"]
    words += ["--runner", str(phone.runner)]
    monkeypatch.setattr(sys, "argv", ["rapidnet", *words])
    assert main(words) == 0
    said = capsys.readouterr().out
    (row,) = [json.loads(line) for line in said.splitlines()]
    assert row["environment"]["command"].count("--android SERIAL") == 1 and SERIAL not in said


def test_a_network_whose_numbers_are_wrong_never_reaches_the_phone(
    phone: FakePhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(path: str, **options: str) -> None:
        raise UserError(f"{path} on this machine fails its checks, so it gets no latency")

    monkeypatch.setattr(contestants, "verify_apart", fail)
    path = build_bundle(tmp_path / "ours", "executorch")
    assert "fails its checks" in refuse(phone, capsys, path, "--android", "--runner", phone.runner)
    assert (phone.folder / "log").read_text() == ""
    # A file that is not the certified one is refused before that, by its hash.
    (path / "model.pte").write_bytes(b"another")
    assert "is not the file that was certified" in refuse(phone, capsys, path, "--android", "--runner", phone.runner)


@pytest.mark.parametrize(
    ("devices", "option", "said"),
    [
        ("", "", "no Android device is attached; install Android's platform-tools"),
        ("", "ABC", "no Android device ABC is attached, only none; install"),
        (READY, "ABC", f"no Android device ABC is attached, only {SERIAL}"),
        (f"{SERIAL} unauthorized usb:1-1 transport_id:7", "", "adb calls it unauthorized): unlock it and accept"),
        (f"{SERIAL}\toffline\ttransport_id:7", "", "adb calls it offline): unplug it"),
        (f"{SERIAL} no permissions (user in plugdev group; are your udev rules wrong?); see [http://x] usb:1-1", "",
         "adb calls it no permissions): give your user the device's USB port"),
        (f"{SERIAL} recovery usb:1-1", "", "adb calls it recovery): start it into Android"),
        (f"{READY}\nXYZ unauthorized usb:1-2", "", f"several Android devices are attached: {SERIAL} (Pixel_7), "
         f"XYZ (unauthorized); name one, such as --android {SERIAL}"),
    ],
)  # fmt: skip
def test_devices_that_cannot_be_used(
    devices: str, option: str, said: str, phone: FakePhone, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    phone.write("devices", devices)
    options = ["--android", *([option] if option else []), "--runner", str(phone.runner)]
    assert said in refuse(phone, capsys, build_bundle(tmp_path / "ours", "executorch"), *options)


def test_without_adb(
    phone: FakePhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    path = build_bundle(tmp_path / "ours", "executorch")
    said = refuse(phone, capsys, path, "--android", "--runner", phone.runner)
    assert "needs adb, which is not on the PATH; install Android's platform-tools" in said


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("cut", "", "the device went away in the middle; look at its cable"),
        ("full", "", "the device has no room for model.pte (0 MB) in /data/local/tmp; free some space"),
        (
            "crash",
            "loading\nSegmentation fault\n",
            "failed on the device with exit code 139: Segmentation fault; build it",
        ),
        ("crash", "", "failed on the device with exit code 139: it said nothing"),
        ("program", "echo hello", "printed nothing that executor_runner prints (the last line: hello)"),
        ("program", "echo 'ERROR: unknown command line flag'; exit 1", "with exit code 1: ERROR: unknown command line"),
    ],
)
def test_mishaps_on_the_device(
    file: str, text: str, said: str, phone: FakePhone, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    phone.write(file, text)
    path = build_bundle(tmp_path / "ours", "executorch")
    assert said in refuse(phone, capsys, path, "--android", "--runner", phone.runner, "--results", tmp_path / "rows")
    assert not (tmp_path / "rows").exists(), "a row without a figure would look like a measurement"
    # Whatever happened, nothing stays on a device that can still be reached.
    assert bool(phone.leftovers) == (file == "cut")


def test_runners_that_cannot_be_used(phone: FakePhone, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ours, lite, web = (build_bundle(tmp_path / kind, kind) for kind in ("executorch", "litert", "onnx"))
    assert "needs executor_runner, which is not part of rapidnet: build it" in refuse(phone, capsys, ours, "--android")
    assert "needs benchmark_model, which is not part of rapidnet: take LiteRT's" in refuse(
        phone, capsys, lite, "--android"
    )
    there = ["--android", "--runner"]
    assert "absent is not there; it must be executor_runner" in refuse(phone, capsys, ours, *there, "absent")
    assert "is no program for Android (no ELF file)" in refuse(phone, capsys, ours, *there, ours / "card.json")
    said = refuse(phone, capsys, web, *there, phone.runner)
    assert "runs in onnx, which has no program to measure it on Android; export it to executorch or litert" in said
    assert "rapidnet_ti runs in onnx, which has no" in refuse(phone, capsys, "rapidnet_ti", *there, phone.runner)
    said = refuse(phone, capsys, ours, *there, phone.runner, "--against", lite)
    assert "one runner runs one runtime, not executorch and litert; measure them one after the other" in said
    varied = build_bundle(tmp_path / "varied", "executorch", input={"max_batch": 4, "size": 224})
    assert "takes inputs of several sizes" in refuse(phone, capsys, varied, *there, phone.runner)


def test_a_runner_for_another_processor(
    phone: FakePhone, checked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data = bytearray(phone.runner.read_bytes())
    data[18:20] = struct.pack("<H", 0x3E)
    phone.runner.write_bytes(data)
    said = refuse(phone, capsys, build_bundle(tmp_path / "ours", "executorch"), "--android", "--runner", phone.runner)
    assert "is built for x86_64, the device runs arm64-v8a,armeabi-v7a" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runner", "x"], "runner has no effect without --android"),
        (["--android", "--profile"], "android has no use for profile"),
        (["--android", "--pareto", "x.png"], "android has no use for pareto"),
        (["--android", "--compute-unit", "cpu"], "android has no use for compute_unit"),
        (["--android", "--batch", "2"], "runners take one image at a time"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "somewhere", *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "program"), [("executorch", EXECUTORCH), ("litert", LITERT)])
def test_a_real_bundle_is_checked_and_carried_whole(
    runtime: str, program: str, phone: FakePhone, tmp_path: Path
) -> None:
    phone.write("program", f"cat $(dirname $0)/root$2/0-model.* | cksum > $(dirname $0)/sum\n{program}")
    path = export_untrained("rapidnet_ti", tmp_path, runtime)
    (row,) = measure(phone, tmp_path, path)
    assert row["verdict"] == "steady" and row["image_size"] == 64 and row["params_m"] > 6
    expected = subprocess.run(["cksum"], input=next(path.glob("model.*")).read_bytes(), capture_output=True, check=True)
    assert (phone.folder / "sum").read_text() == expected.stdout.decode()
