"""What would adb and the runners answer if a phone were attached? Programs that stand in for both, in a folder."""

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from rapidnet.runtimes.bundle import compute_card_hash, compute_file_hash
from rapidnet.runtimes.formats import FORMATS

SERIAL = "R5CT10ABCDE"
READY = f"{SERIAL}            device usb:1-3 product:panther model:Pixel_7 device:panther transport_id:4"
GETPROP = f"""[ro.boot.serialno]: [{SERIAL}]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 7]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [GS201]
[ro.vendor.empty]: []
"""
CLOCKS = "policy0 sched_pixel 1803000\npolicy6 sched_pixel 2850000\n"
# Written for these tests: adb as far as it is called, and runners that print to the layouts of the real ones' sources.
ADB, EXECUTORCH, LITERT, THERMAL, BATTERY = (
    (Path(__file__).parent / "fake_phone_files" / name).read_text()
    for name in ("adb.sh", "executorch.sh", "litert.sh", "thermal.txt", "battery.txt")
)
# Older ones do not print the single runs.
OLD_EXECUTORCH = EXECUTORCH.replace('printf "I 00:00:00.%06d', 'if (0) printf "I 00:00:00.%06d')


@dataclass(frozen=True)
class FakePhone:
    """folder: what the fake adb answers with; a test changes its files. runner: the program a user would name."""

    folder: Path
    runner: Path

    def write(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)

    @property
    def calls(self) -> list[str]:
        """Commands that ran a network, in their order."""
        lines = (self.folder / "log").read_text().splitlines()
        return [line for line in lines if line.startswith("cd ")]

    @property
    def leftovers(self) -> list[str]:
        return [str(path) for path in (self.folder / "root" / "data" / "local" / "tmp").iterdir()]


def build_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePhone:
    """A phone that is ready, behind an `adb` at the front of the PATH."""
    folder, programs = tmp_path / "phone", tmp_path / "bin"
    (folder / "root" / "data" / "local" / "tmp").mkdir(parents=True)
    programs.mkdir()
    (programs / "adb").write_text(ADB)
    (programs / "adb").chmod(0o755)
    runner = tmp_path / "runner-arm64"
    # The head of an ELF file for AArch64: all that is looked at here, since the fake runs nothing of it.
    runner.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 0xB7))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    phone = FakePhone(folder, runner)
    answers = {"getprop": GETPROP, "thermal": THERMAL, "battery": BATTERY, "clocks": CLOCKS}
    for name, text in (answers | {"devices": READY, "program": EXECUTORCH, "step": "0", "log": ""}).items():
        phone.write(name, text)
    return phone


def build_bundle(folder: Path, runtime: str, **card: object) -> Path:
    """A folder with a card that is whole and an artifact that is none: for what never runs the network itself."""
    folder.mkdir(parents=True)
    name = FORMATS[runtime].artifact
    (folder / name).write_bytes(bytes(1000))
    content = {
        "card_version": 1, "format": runtime, "artifact": name, "model": "rapidnet_ti", "precision": "fp32",
        "files": {name: compute_file_hash(folder / name)}, "input": {"max_batch": 1, "size": 224},
        "preprocessing": {"image_size": 224},
    } | card  # fmt: skip
    (folder / "card.json").write_text(json.dumps(content | {"card_sha256": compute_card_hash(content)}))
    return folder
