"""What produced a number? Versions, hardware, git revision, command and time, attached to every result row."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("rapidnet", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")


def describe_environment() -> dict[str, Any]:
    """Versions, hardware, git revision, command line and UTC time; what cannot be known is 'unknown'."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "git": _git_revision(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "os": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "accelerator": _accelerator(),
    }


def _command() -> str:
    if not sys.argv:
        return "unknown"
    name = Path(sys.argv[0]).name
    script = name.endswith(".py") and name != "__main__.py"
    return " ".join([f"python scripts/{name}" if script else "rapidnet", *sys.argv[1:]])


def append_row(path: str | Path, row: dict[str, Any]) -> None:
    """Append one JSON line; the folder is made if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def append_rows(path: str | Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows and the environment that they were measured in."""
    environment = describe_environment()
    for row in rows:
        append_row(path, row | {"environment": environment})


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Every row of a JSON-lines file; an unfinished last line, left by a killed process, is left out."""
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def write_text_atomically(path: str | Path, text: str) -> None:
    """Write a text file so that its name never stands for half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _git_revision() -> str:
    root = Path(__file__).resolve().parents[2]
    # Installed into a virtual environment, the repository around it is somebody else's.
    if not (root / ".git").exists():
        return "unknown"
    try:
        run = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return run.stdout.strip()


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _accelerator() -> str:
    # Only asked of a torch that is loaded already: describing the environment must not load it.
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "none" if torch is not None else "unknown"
