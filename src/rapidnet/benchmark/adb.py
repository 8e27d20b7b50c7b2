"""How is an Android device found and spoken to, and what is said when that fails?"""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rapidnet.errors import UserError

PLACE = "/data/local/tmp"
"""Where a shell may write and run programs, on every Android."""
ATTACH = (
    "install Android's platform-tools, switch on USB debugging in the device's developer options, connect it, "
    "accept its prompt, and look for it with adb devices"
)
READY = "device"
# The state that adb devices shows -> what to do about it.
ADVICE = {
    "unauthorized": "unlock it and accept its prompt to allow USB debugging from this computer",
    "offline": "unplug it and plug it in again, or run adb reconnect offline",
    "no permissions": "give your user the device's USB port (udev rules), or start the adb server as root",
    "authorizing": "wait a moment and run the command again",
}
SHORT, LONG = 60, 1800
"""Seconds that a question may take, and that a copy or a run of a network may take."""


@dataclass(frozen=True)
class Answer:
    """What a command on the device printed, and its exit code."""

    code: int
    text: str
    errors: str = ""


class Device:
    """One attached device, through the adb program."""

    def __init__(self, adb: str, serial: str) -> None:
        self._adb, self.serial = adb, serial

    def shell(self, command: str, timeout: float = SHORT) -> Answer:
        """Run a command there, whatever its exit code.

        Raises:
            UserError: the device went away or does not answer.
        """
        answer = call([self._adb, "-s", self.serial, "shell", command], timeout)
        if answer.code:
            self._check_there()
        return answer

    def push(self, file: Path, remote: str) -> None:
        """Copy a file there.

        Raises:
            UserError: there is no room for it, or the device went away.
        """
        answer = call([self._adb, "-s", self.serial, "push", str(file), remote], LONG)
        if answer.code == 0:
            return
        said = answer.errors + answer.text
        if "No space left" in said:
            size = file.stat().st_size / 1e6
            raise UserError(f"the device has no room for {file.name} ({size:.0f} MB) in {PLACE}; free some space on it")
        self._check_there()
        raise UserError(f"{file} could not be copied to the device: {last_line(said)}")

    @contextmanager
    def folder(self) -> Iterator[str]:
        """A folder of our own there, removed at the end with all that is in it."""
        path = f"{PLACE}/rapidnet-{uuid.uuid4().hex[:12]}"
        made = self.shell(f"mkdir {path}")
        if made.code:
            raise UserError(f"the device refuses a folder in {PLACE}: {last_line(made.text + made.errors)}")
        try:
            yield path
        except BaseException:
            # What went wrong matters more than what is left behind.
            with suppress(UserError):
                call([self._adb, "-s", self.serial, "shell", f"rm -rf {path}"], SHORT)
            raise
        self.shell(f"rm -rf {path}")

    def _check_there(self) -> None:
        state = call([self._adb, "-s", self.serial, "get-state"], SHORT)
        if state.text.strip() != READY:
            raise UserError(
                "the device went away in the middle; look at its cable, keep it awake, and run the command again"
            )


def find_device(serial: str = "") -> Device:
    """The device of that serial number; the only one attached if it is empty.

    Raises:
        UserError: adb is not installed; there is no device, more than one, or one that is not ready.
    """
    adb = shutil.which("adb")
    if adb is None:
        raise UserError(f"measuring on Android needs adb, which is not on the PATH; {ATTACH}")
    devices = list_devices(adb)
    if serial and serial not in devices:
        raise UserError(f"no Android device {serial} is attached, only {', '.join(devices) or 'none'}; {ATTACH}")
    if not devices:
        raise UserError(f"no Android device is attached; {ATTACH}")
    if not serial and len(devices) > 1:
        shown = ", ".join(f"{name} ({about})" for name, (_, about) in devices.items())
        raise UserError(
            f"several Android devices are attached: {shown}; name one, such as --android {next(iter(devices))}"
        )
    serial = serial or next(iter(devices))
    state = devices[serial][0]
    if state != READY:
        advice = ADVICE.get(state, "start it into Android")
        raise UserError(f"Android device {serial} is not ready (adb calls it {state}): {advice}")
    return Device(adb, serial)


def list_devices(adb: str) -> dict[str, tuple[str, str]]:
    """Serial number -> (its state, its model or its state where none is told), as `adb devices -l` lists them."""
    answer = call([adb, "devices", "-l"], SHORT)
    if answer.code:
        raise UserError(f"adb does not work: {last_line(answer.errors + answer.text)}")
    devices = {}
    for line in answer.text.partition("List of devices attached")[2].splitlines():
        serial, _, rest = line.strip().replace("\t", " ").partition(" ")
        rest = rest.strip()
        if not rest:
            continue
        state = "no permissions" if rest.startswith("no permissions") else rest.split()[0]
        model = next((word.removeprefix("model:") for word in rest.split() if word.startswith("model:")), "")
        devices[serial] = (state, model or state)
    return devices


def call(command: list[str], timeout: float) -> Answer:
    """Raises UserError if it takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the device did not answer for {timeout:.0f} s; look at it and run the command again"
        ) from None
    return Answer(done.returncode, done.stdout, done.stderr)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
