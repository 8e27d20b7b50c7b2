"""What is the machine busy with while we measure, and how is it set up? What cannot be known is 'unknown'."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_OTHERS = 0.05
"""Share of the machine's processors that may be at other work during a measurement."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Usage:
    """Processor seconds since the machine started: of everything on it, and of this process's own and its children."""

    at: float
    machine: float
    own: float


def read_usage(children: list[int]) -> Usage | None:
    """Seconds used so far, in all and by this process with its running `children` (process ids); None if unknown.

    Time stolen by a hypervisor for other machines counts as used: it is not there for us either.
    """
    try:
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
        own = sum(read_process_ticks(pid) for pid in [os.getpid(), *children])
    except (AttributeError, OSError, ValueError, IndexError):
        return None
    return Usage(time.monotonic(), (user + nice + system + irq + softirq + steal) / ticks, own / ticks)


def read_process_ticks(pid: int) -> int:
    """Clock ticks in user and system mode of all threads of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure_others(before: Usage | None, after: Usage | None) -> float | None:
    """Share of the machine's processors, 0 to 1, that others used in between; None if unknown."""
    if before is None or after is None or after.at <= before.at:
        return None
    used = (after.machine - before.machine) - (after.own - before.own)
    return max(0.0, used / (after.at - before.at) / (os.cpu_count() or 1))


def describe_load() -> list[float] | str:
    """The load averages over 1, 5 and 15 minutes."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return UNKNOWN


def describe_processor() -> dict[str, Any]:
    """How fast the processor may go and who decides: governor, largest frequency in MHz, turbo."""
    root = Path("/sys/devices/system/cpu")
    frequency = read_text(root / "cpu0/cpufreq/cpuinfo_max_freq")
    return {
        "governor": read_text(root / "cpu0/cpufreq/scaling_governor"),
        "max_mhz": int(frequency) // 1000 if frequency.isdigit() else UNKNOWN,
        "turbo": {"0": "on", "1": "off"}.get(read_text(root / "intel_pstate/no_turbo"), UNKNOWN),
        "hypervisor": "yes" if " hypervisor " in read_text(Path("/proc/cpuinfo")) else UNKNOWN,
    }


def read_text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return UNKNOWN


def choose_cpus(threads: int) -> list[int]:
    """The processors that networks of so many threads are bound to: the last ones, since the first serve interrupts."""
    if not hasattr(os, "sched_getaffinity") or not threads:
        return []
    return sorted(os.sched_getaffinity(0))[-threads:]
