"""Which Android device is it, how is it set up, and how warm and charged is it? What it does not tell is 'unknown'."""

import re
from typing import Any

from rapidnet.benchmark.adb import Device
from rapidnet.benchmark.machine import UNKNOWN

# Fact -> the system properties that may hold it, the first that does counts.
PROPERTIES = {
    "manufacturer": ("ro.product.manufacturer",),
    "model": ("ro.product.model",),
    "soc": ("ro.soc.model", "ro.board.platform", "ro.hardware"),
    "soc_manufacturer": ("ro.soc.manufacturer",),
    "android": ("ro.build.version.release",),
    "sdk": ("ro.build.version.sdk",),
    "abi": ("ro.product.cpu.abi",),
    "abis": ("ro.product.cpu.abilist", "ro.product.cpu.abi"),
}
# android.os.PowerManager.THERMAL_STATUS_*
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
# android.os.Temperature's types that say something of a processor's speed.
SENSORS = {0: "CPU", 1: "GPU", 2: "battery", 3: "skin"}
# android.os.BatteryManager.BATTERY_STATUS_*
CHARGING = {1: UNKNOWN, 2: "charging", 3: "discharging", 4: "not charging", 5: "full"}
COLDEST = -40.0
"""Degrees Celsius; sensors that are not there report less."""
CLOCKS = (
    "for p in /sys/devices/system/cpu/cpufreq/policy*; do "
    "echo ${p##*/} $(cat $p/scaling_governor) $(cat $p/cpuinfo_max_freq); done"
)


def describe_device(device: Device) -> dict[str, Any]:
    """Model, SoC, Android's version, ABI, and the governor and largest frequency of each group of processors.

    Its serial number is not among them: rows are published.
    """
    properties = dict(re.findall(r"^\[(.+?)\]: \[(.*?)\]\s*$", device.shell("getprop").text, re.M))
    facts: dict[str, Any] = {
        name: next((properties[key] for key in keys if properties.get(key)), UNKNOWN)
        for name, keys in PROPERTIES.items()
    }
    virtual = properties.get("ro.kernel.qemu") == "1" or properties.get("ro.boot.qemu") == "1"
    facts["emulator"] = virtual or facts["soc"] in ("ranchu", "goldfish")
    lines = re.findall(r"^(policy\d+) (\w+) (\d+)\s*$", device.shell(CLOCKS).text, re.M)
    facts["clocks"] = {
        name: {"governor": governor, "max_mhz": int(frequency) // 1000} for name, governor, frequency in lines
    } or UNKNOWN
    return facts


def describe_state(device: Device) -> dict[str, Any]:
    """{"thermal", "temperatures_c", "battery_percent", "battery", "battery_c"} at this moment."""
    thermal = device.shell("dumpsys thermalservice").text
    status = re.search(r"^\s*Thermal Status: (\d+)", thermal, re.M)
    battery = read_battery(device.shell("dumpsys battery").text)
    level = int(status[1]) if status else -1
    return {
        "thermal": THERMAL[level] if 0 <= level < len(THERMAL) else UNKNOWN,
        "temperatures_c": read_temperatures(thermal) or UNKNOWN,
    } | battery


def read_temperatures(text: str) -> dict[str, float]:
    """The warmest sensor of each kind, in degrees Celsius: what the hardware says now, else what was cached."""
    now = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    found: dict[str, float] = {}
    for value, kind in re.findall(r"Temperature\{mValue=(-?[\d.]+), mType=(-?\d+)", now or text):
        name = SENSORS.get(int(kind))
        if name and float(value) > COLDEST:
            found[name] = max(round(float(value), 1), found.get(name, COLDEST))
    return found


def read_battery(text: str) -> dict[str, Any]:
    """Of `dumpsys battery`; a log of events may follow the values, so the first of each name counts."""
    values: dict[str, str] = {}
    for name, value in re.findall(r"^\s*([\w ]+): (\S+)\s*$", text, re.M):
        values.setdefault(name, value)
    level, scale = values.get("level", ""), values.get("scale", "100")
    degrees = values.get("temperature", "")
    return {
        "battery_percent": 100 * int(level) // int(scale) if level.isdigit() and scale.isdigit() else UNKNOWN,
        "battery": CHARGING.get(int(values["status"]), UNKNOWN) if values.get("status", "").isdigit() else UNKNOWN,
        "battery_c": int(degrees) / 10 if degrees.isdigit() else UNKNOWN,
    }
