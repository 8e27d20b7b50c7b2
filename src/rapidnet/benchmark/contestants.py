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

from rapidnet.benchmark.peers import load_peers
from rapidnet.config.bench import BF16, EAGER, RUNTIMES, BenchConfig, Point, Precision, parse_names
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
    """One network in one runtime and precision, at one batch and image size.

    label: how the tables call it; kind and arguments: what the worker is told; point: the batch and size that were
    asked for; facts: parameters, MACs, file size and hash, where known.
    """

    label: str
    model: str
    runtime: str
    precision: str
    kind: str
    arguments: dict[str, Any]
    point: Point
    facts: dict[str, Any] = field(default_factory=dict)
    pinned: bool = False
    """Asked for in a runtime of its own (NAME@RUNTIME), to be compared with everything."""

    @property
    def group(self) -> tuple[str, str]:
        """What it may be compared within."""
        return self.runtime, self.precision

    @property
    def name(self) -> str:
        """Unique among the contestants of a measurement."""
        place = f"{self.arguments['batch']} of {self.arguments['image_size']} px"
        return f"{self.label} | {self.runtime} | {self.precision} | {place}"


def build_contestants(config: BenchConfig, names: list[str], folder: Path, console: Console) -> list[Contestant]:
    """Every name in every runtime and precision, at every batch and size asked for; bundles as they are.

    Those made for it are put into `folder`, each for one batch and size: runtimes lay out memory by the shape they are
    promised.

    Raises:
        UserError: something that is neither a bundle, a run nor a network; an artifact that fails its checks; a bundle
            that does not take a batch or size.
    """
    found = []
    for name in names:
        plain, _, pinned = name.partition("@")
        if pinned:
            (runtime,) = parse_names(pinned, RUNTIMES, "runtime")
            own = replace(config, what=[plain], against="", runtime=runtime, precision="fp32", profile=False)
            found += [replace(item, pinned=True) for item in build_contestants(own, [plain], folder, console)]
            continue
        if is_bundle(name):
            found += check_bundle(config, name, config.points, console)
            continue
        name = name if Path(name).exists() else find_network(name)
        orders = [(point, *pair) for point in config.points for pair in list_pairs(config)]
        offered = [order for order in orders if not explain_refusal(*order)]
        if not offered:
            raise UserError(f"{name} cannot be measured: {explain_refusal(*orders[0])}")
        found += [build_named(config, name, *order, folder, console) for order in offered]
    return found


def check_bundle(config: BenchConfig, name: str, points: list[Point], console: Console) -> list[Contestant]:
    """A bundle as it is at every point, after its numbers were checked where it will be timed.

    Raises:
        UserError: it fails its checks, or there is nothing here that runs it as its users will.
    """
    runtime = (card := read_card(name))["format"]
    if "outputs" in card:
        raise UserError(f"{name} is of --task {card['task']}, and rapidnet bench measures classifiers; give such a one")
    if reason := explain_absence(runtime):
        raise UserError(f"{name} cannot be measured: {reason}")
    unit = (config.compute_unit or "all") if FORMATS[runtime].units else ""
    found = [describe_bundle(Path(name), Path(name).name, point, unit=unit) for point in points]
    with console.status(f"{name}: checking its numbers"):
        verify_apart(name, unit=unit)
    return found


def explain_absence(runtime: str) -> str:
    """Why this machine does not run the runtime itself; '' if it does."""
    if runtime != "coreml" or platform.system() == "Darwin":
        return ""
    return (
        f"Core ML runs on macOS only, and this is {platform.system()}; run rapidnet bench on a Mac, "
        "or read Xcode's report with rapidnet bench import"
    )


def find_network(name: str) -> str:
    """timm's name of a network that is given by it, or as it is published.

    Raises:
        UserError: nobody knows it, or it is only published.
    """
    if timm.is_model(name):
        return name
    peers = {peer.name: peer for peer in load_peers()}
    if name not in peers:
        known = [*timm.list_models(), *peers]
        raise UserError(f"'{name}' is neither a bundle, a run, a network nor a peer{nearest(name, known)}")
    if not peers[name].timm_name:
        raise UserError(f"peer '{name}' is published only ({peers[name].source}): timm has no such network to measure")
    return peers[name].timm_name


def list_pairs(config: BenchConfig) -> list[tuple[str, Precision]]:
    return [(runtime, precision) for runtime in config.runtimes for precision in config.precisions]


def explain_refusal(point: Point, runtime: str, precision: Precision) -> str:
    """Why nothing can be measured at this point in this runtime and precision; '' if it can."""
    if runtime == EAGER:
        return "" if precision == "fp32" else f"eager torch is measured in fp32, not in {precision}"
    if explain_absence(runtime):
        return explain_absence(runtime)
    if precision == "bf16":
        return "" if BF16 in FORMATS[runtime].arithmetics else f"{runtime} does not compute in bf16; openvino does"
    try:
        refuse(runtime, InputSpec(STRIDE, STRIDE, point.batch, fixed_batch=True), precision)
    except UserError as error:
        return str(error)
    return ""


def build_named(
    config: BenchConfig, name: str, point: Point, runtime: str, precision: Precision, folder: Path, console: Console
) -> Contestant:
    """A run or a network by name, in one runtime and precision, made for one batch and size.

    Raises:
        UserError: it cannot be exported, or its artifact fails its checks.
    """
    if runtime == EAGER:
        return describe_eager(name, point)
    stored = "fp32" if precision == "bf16" else precision
    # Bundles of one network in one format have one name, so each batch and size has a folder.
    place = folder / f"batch{point.batch}-{point.size or 'own-'}px" if len(config.points) > 1 else folder
    # So has each run: a name of its own, too, or two runs of one network would be taken for the same.
    run = Path(name).resolve().name if Path(name).exists() else ""
    place = place / run if run else place
    export = ExportConfig(name, runtime, stored, str(place), image_size=point.size, check_images=200)
    export.max_batch, export.fixed_batch = point.batch, True
    if precision == "int8" and not Path(name).exists():
        # Without training there is no accuracy that layers in float could mend.
        export.keep_float = "none"
    with console.status(f"{name}: exporting to {runtime}, {stored}, a call of {point.batch}"):
        job = prepare(export, console) if Path(name).exists() else prepare_untrained(name, export)
        path, card = export_format(runtime, job)
    if card["certificate"]["verdict"] != "passed":
        raise UserError(explain_failure(f"{name} in {runtime}, {stored},", card["certificate"], f"; see {path}"))
    if FORMATS[runtime].units:
        (found,) = check_bundle(config, str(path), [point], console)
        return replace(found, label=run or job.source.name)
    if precision == BF16:
        with console.status(f"{name}: checking its numbers in {BF16}"):
            verify_apart(str(path), BF16)
    return describe_bundle(path, run or job.source.name, point, BF16 if precision == BF16 else "")


def describe_bundle(path: Path, label: str, point: Point, arithmetic: str = "", unit: str = "") -> Contestant:
    """A bundle at a point; raises UserError if it does not take that batch or size."""
    card = read_card(path)
    size = fit_size(path, card["input"], point)
    weight = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != GOLDEN)
    facts = {"file_mb": weight / 1e6, "sha256": card["files"].get(card["artifact"], "several files")}
    facts |= card.get("complexity", {})
    if size != card["preprocessing"]["image_size"]:
        # The card counts at the smallest size only.
        facts.pop("gmacs", None)
    arguments = {"path": str(path), "arithmetic": arithmetic, "unit": unit, "batch": point.batch, "image_size": size}
    precision = arithmetic or card["precision"]
    return Contestant(label, card["model"], card["format"], precision, "bundle", arguments, point, facts)


def fit_size(path: Path, taken: dict[str, Any], point: Point) -> int:
    """The size at which a bundle with this input is measured; raises UserError if it cannot be as asked."""
    least, most = taken.get("min_batch", 1), taken["max_batch"]
    if not least <= point.batch <= most:
        takes = f"{least} to {most}" if least < most else f"{most}"
        raise UserError(f"{path} takes {takes} image(s) per call, not {point.batch}; measure it with --batch {most}")
    smallest, largest = taken["size"] if isinstance(taken["size"], list) else [taken["size"]] * 2
    size = point.size or smallest
    if not smallest <= size <= largest or (size - smallest) % STRIDE:
        takes = f"{smallest} to {largest} px in steps of {STRIDE}" if smallest < largest else f"{smallest} px"
        raise UserError(f"{path} takes images of {takes}, not of {size} px; leave out --image-size or give such a size")
    return int(size)


def describe_eager(name: str, point: Point) -> Contestant:
    if not timm.is_model(name):
        raise UserError(f"eager torch is measured on networks by name, which {name} is not")
    model = create_model(name)
    size = point.size or int(model.pretrained_cfg["input_size"][-1])  # type: ignore[index]
    facts = {"params_m": count_parameters(model) / 1e6, "gmacs": count_macs(model, (3, size, size)) / 1e9}
    arguments = {"model": name, "batch": point.batch, "image_size": size}
    return Contestant(name, name, EAGER, "fp32", "eager", arguments, point, facts)


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
