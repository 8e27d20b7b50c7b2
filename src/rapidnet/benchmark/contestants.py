"""What is to be timed: bundles as they are, runs and networks by name as bundles made for it."""

import json
import platform
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import timm
from rich.console import Console

from rapidnet.config.bench import BF16, EAGER, RUNTIMES, BenchConfig, Precision, parse_names
from rapidnet.config.export import ExportConfig
from rapidnet.errors import UserError, nearest
from rapidnet.export.capture import STRIDE, InputSpec
from rapidnet.export.converters import refuse
from rapidnet.export.export import export_format, prepare
from rapidnet.export.golden import GOLDEN
from rapidnet.export.untrained import prepare_untrained
from rapidnet.models import create_model
from rapidnet.models.complexity import count_macs, count_parameters
from rapidnet.runtimes.bundle import is_bundle, read_card
from rapidnet.runtimes.formats import FORMATS


@dataclass(frozen=True)
class Contestant:
    """One network in one runtime and precision.

    label: how the tables call it; group: what it may be compared within, (runtime, precision); kind and arguments:
    what the worker is told; facts: parameters, MACs, file size and hash, where known.
    """

    label: str
    model: str
    runtime: str
    precision: str
    kind: str
    arguments: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    pinned: bool = False
    """Asked for in a runtime of its own (NAME@RUNTIME), to be compared with everything."""

    @property
    def group(self) -> tuple[str, str]:
        return self.runtime, self.precision

    @property
    def name(self) -> str:
        """Unique among the contestants of a measurement."""
        return f"{self.label} | {self.runtime} | {self.precision}"


def build_contestants(config: BenchConfig, names: list[str], folder: Path, console: Console) -> list[Contestant]:
    """Every name in every runtime and precision asked for; bundles as they are, those made are put into `folder`.

    Raises:
        UserError: something that is neither a bundle, a run nor a network; an artifact that fails its checks.
    """
    found = []
    for name in names:
        plain, _, pinned = name.partition("@")
        if pinned:
            (runtime,) = parse_names(pinned, RUNTIMES, "runtime")
            own = replace(config, what=[plain], against="", runtime=runtime, precision="fp32", pareto="", profile=False)
            found += [replace(item, pinned=True) for item in build_contestants(own, [plain], folder, console)]
            continue
        if is_bundle(name):
            found.append(check_bundle(config, name, console))
            continue
        if not Path(name).exists() and not timm.is_model(name):
            known = timm.list_models()
            raise UserError(f"'{name}' is neither a bundle, a run nor a network{nearest(name, known)}")
        offered = [pair for pair in list_pairs(config) if not explain_refusal(*pair)]
        if not offered:
            raise UserError(f"{name} cannot be measured: {explain_refusal(*list_pairs(config)[0])}")
        found += [build_named(config, name, runtime, precision, folder, console) for runtime, precision in offered]
    return found


def check_bundle(config: BenchConfig, name: str, console: Console) -> Contestant:
    """A bundle as it is, after its numbers were checked where it will be timed.

    Raises:
        UserError: it fails its checks, or there is nothing here that runs it as its users will.
    """
    runtime = read_card(name)["format"]
    reason = explain_absence(runtime)
    if reason:
        raise UserError(f"{name} cannot be measured: {reason}")
    unit = (config.compute_unit or "all") if FORMATS[runtime].units else ""
    with console.status(f"{name}: checking its numbers"):
        verify_apart(name, unit=unit)
    return describe_bundle(Path(name), Path(name).name, unit=unit)


def explain_absence(runtime: str) -> str:
    """Why this machine does not run the runtime itself; '' if it does."""
    if runtime != "coreml" or platform.system() == "Darwin":
        return ""
    return (
        f"Core ML runs on macOS only, and this is {platform.system()}; run rapidnet bench on a Mac, "
        "or read Xcode's report with rapidnet bench import"
    )


def list_pairs(config: BenchConfig) -> list[tuple[str, Precision]]:
    return [(runtime, precision) for runtime in config.runtimes for precision in config.precisions]


def explain_refusal(runtime: str, precision: Precision) -> str:
    """Why nothing can be measured in this runtime and precision; '' if it can."""
    if runtime == EAGER:
        return "" if precision == "fp32" else f"eager torch is measured in fp32, not in {precision}"
    if explain_absence(runtime):
        return explain_absence(runtime)
    if precision == "bf16":
        return "" if BF16 in FORMATS[runtime].arithmetics else f"{runtime} does not compute in bf16; openvino does"
    try:
        refuse(runtime, InputSpec(STRIDE, STRIDE), precision)
    except UserError as error:
        return str(error)
    return ""


def build_named(
    config: BenchConfig, name: str, runtime: str, precision: Precision, folder: Path, console: Console
) -> Contestant:
    """A run or a network by name, in one runtime and precision.

    Raises:
        UserError: it cannot be exported, or its artifact fails its checks.
    """
    if runtime == EAGER:
        return describe_eager(config, name)
    stored = "fp32" if precision == "bf16" else precision
    export = ExportConfig(name, runtime, stored, str(folder), image_size=config.image_size, check_images=200)
    if precision == "int8" and not Path(name).exists():
        # Without training there is no accuracy that layers in float could mend.
        export.keep_float = "none"
    with console.status(f"{name}: exporting to {runtime}, {stored}"):
        job = prepare(export, console) if Path(name).exists() else prepare_untrained(name, export)
        path, card = export_format(runtime, job)
    if card["certificate"]["verdict"] != "passed":
        raise UserError(explain_failure(f"{name} in {runtime}, {stored},", card["certificate"], f"; see {path}"))
    if FORMATS[runtime].units:
        return replace(check_bundle(config, str(path), console), label=job.source.name)
    if precision == BF16:
        with console.status(f"{name}: checking its numbers in {BF16}"):
            verify_apart(str(path), BF16)
    return describe_bundle(path, job.source.name, BF16 if precision == BF16 else "")


def describe_bundle(path: Path, label: str, arithmetic: str = "", unit: str = "") -> Contestant:
    card = read_card(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != GOLDEN)
    facts = {"file_mb": size / 1e6, "sha256": card["files"].get(card["artifact"], "several files")}
    facts |= card.get("complexity", {})
    arguments = {"path": str(path), "arithmetic": arithmetic, "unit": unit}
    return Contestant(label, card["model"], card["format"], arithmetic or card["precision"], "bundle", arguments, facts)


def describe_eager(config: BenchConfig, name: str) -> Contestant:
    if not timm.is_model(name):
        raise UserError(f"eager torch is measured on networks by name, which {name} is not")
    model = create_model(name)
    size = config.image_size or int(model.pretrained_cfg["input_size"][-1])  # type: ignore[index]
    facts = {"params_m": count_parameters(model) / 1e6, "gmacs": count_macs(model, (3, size, size)) / 1e9}
    return Contestant(name, name, EAGER, "fp32", "eager", {"model": name, "image_size": size}, facts)


def verify_apart(path: str, arithmetic: str = "", unit: str = "") -> None:
    """Repeat a bundle's proof in a process of its own.

    Raises:
        UserError: a check fails here, or the bundle is damaged.
    """
    command = [sys.executable, "-m", "rapidnet", "verify", path, "--json"]
    command += (["--arithmetic", arithmetic] if arithmetic else []) + (["--compute-unit", unit] if unit else [])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or ["verify said nothing"]
        raise UserError(lines[-1].removeprefix("rapidnet: "))
    certificate = json.loads(done.stdout.splitlines()[-1])
    if certificate["verdict"] != "passed":
        raise UserError(explain_failure(f"{path} on this machine", certificate))


def explain_failure(what: str, certificate: dict[str, Any], where: str = "") -> str:
    failures = [check["name"] for check in certificate["checks"] if not check["passed"]]
    failures += [
        f"{item['name']} is not noticed" for item in certificate["negative_controls"] if item["caught"] is False
    ]
    return f"{what} fails its checks ({'; '.join(failures)}), so it gets no latency{where}"
