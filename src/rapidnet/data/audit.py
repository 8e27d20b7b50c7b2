"""What in a folder of images, or in shards, would hurt training? A report and a quarantine list; data is only read."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rapidnet.config import AuditConfig
from rapidnet.data.sources import Reader, find_reader
from rapidnet.environment import write_text_atomically
from rapidnet.errors import UserError
from rapidnet.images import FORMATS, IMAGE_EXTENSIONS, BadImageError, EncodedImage, Source, convert_rgb, open_image

QUARANTINED = ("unreadable", "truncated", "oversized", "missing")
"""Findings that a training run cannot use; the others are for a person to judge."""

Look = tuple[str | Path, str, str, Callable[[], Source] | None]
"""What to look at: (path, split, class, how to fetch it where it is no file)."""


@dataclass(frozen=True)
class Finding:
    """What one file holds; `problems` are words such as truncated, animated, wrongly named."""

    path: str
    split: str
    class_name: str
    problems: tuple[str, ...]
    size: tuple[int, int] | None = None
    digest: str = ""
    phash: int | None = None


def run_audit(config: AuditConfig) -> int:
    """The data audit command: prints the report and, with --output, writes report.json and quarantine.txt."""
    console = Console()
    report = audit(config, console)
    print_report(report, console)
    if config.output:
        folder = Path(config.output)
        if folder.resolve().is_relative_to(Path(config.data).resolve()):
            raise UserError(f"--output {folder} lies inside the audited folder, which is never changed; choose another")
        write_text_atomically(folder / "report.json", json.dumps(report, indent=2))
        write_text_atomically(folder / "quarantine.txt", "".join(f"{path}\n" for path in report["quarantine"]))
        console.print(f"report.json and quarantine.txt ({len(report['quarantine'])} files) in [bold]{folder}[/bold]")
    return 0


def audit(config: AuditConfig, console: Console) -> dict[str, Any]:
    """Look at every file and return the report as plain data.

    Raises:
        UserError: no such folder, or no class folders in it.
    """
    reader = find_reader(config.data)
    files: list[Look] = (
        list_samples(reader, config.data) if reader else [(*file, None) for file in list_files(Path(config.data))]
    )

    def inspect(file: Look) -> Finding:
        path, split, class_name, fetch = file
        return inspect_file(path, split, class_name, config.max_pixels, fetch)

    with ThreadPoolExecutor() as pool:
        results = pool.map(inspect, files)
        findings = list(track(results, "looking", total=len(files), console=console, transient=True))
    problems: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        for problem in finding.problems:
            problems[problem].append(finding.path)
    exact = group_exact(findings)
    unusable = {path for problem in QUARANTINED for path in problems.get(problem, [])}
    # Of copies, one stays: training's, so that validation loses what training has seen.
    rank = {finding.path: (finding.split != "train", finding.path) for finding in findings}
    copies = {path for group in exact for path in sorted(group["paths"], key=rank.__getitem__)[1:]}
    return {
        "folder": config.data,
        "images": sum(1 for finding in findings if finding.size is not None),
        "classes": count_classes(findings),
        "sizes": summarize_sizes([finding.size for finding in findings if finding.size is not None]),
        "problems": {name: sorted(paths) for name, paths in sorted(problems.items())},
        "exact_duplicates": exact,
        "near_duplicates": find_near(findings, config.near),
        "quarantine": sorted(unusable | copies),
    }


def list_files(root: Path) -> list[tuple[Path, str, str]]:
    """(file, split, class) of every file below the class folders; the split is '' in a folder without splits."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give a folder of images sorted into one folder per class")
    splits = [name for name in ("train", "val", "test") if (root / name).is_dir()]
    files = [
        (path, split, folder.name)
        for split in splits or [""]
        for folder in sorted((root / split).iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    if not files:
        raise UserError(f"{root} holds no images in class folders; sort its images into one folder per class")
    return files


def list_samples(reader: Reader, data: str) -> list[Look]:
    """Every image in shards or a Hugging Face dataset."""
    splits = [open_split() for open_split in reader(data, None) if open_split]
    return [
        (sample.path, split.name, split.classes[sample.labels[0]], partial(split.fetch, sample))
        for split in splits
        for sample in split.samples
    ]


def inspect_file(
    path: str | Path, split: str, class_name: str, max_pixels: int, fetch: Callable[[], Source] | None = None
) -> Finding:
    """Decode one file, or what `fetch` returns, and describe it; reads every byte once for the digest."""
    # What is fetched need not have a file name; what lies in a folder is known by it.
    ending = Path(path).suffix.lower()
    if ending not in IMAGE_EXTENSIONS and not fetch:
        return Finding(str(path), split, class_name, ("not an image",))
    problems = []
    try:
        source = fetch() if fetch else path
        with open_image(source, max_pixels) as image:
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                problems.append("animated")
            if ending and ending not in FORMATS.get(image.format or "", ()):
                problems.append("wrongly named")
            size = image.size
            image.seek(0)
            image.load()
            bits = imagehash.phash(convert_rgb(image)).hash
    except BadImageError as error:
        return Finding(str(path), split, class_name, (error.kind,))
    content = source.data if isinstance(source, EncodedImage) else Path(source).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    phash = int.from_bytes(np.packbits(bits).tobytes())
    return Finding(str(path), split, class_name, tuple(problems), size, digest, phash)


def count_classes(findings: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """class -> split -> readable images."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for finding in findings:
        counts[finding.class_name][finding.split or "all"] += finding.size is not None
    return {name: dict(counts[name]) for name in sorted(counts)}


def summarize_sizes(sizes: list[tuple[int, int]]) -> dict[str, Any]:
    """Median, smallest and largest width x height (by area), and the commonest; empty without images."""
    if not sizes:
        return {}
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    return {
        "smallest": ordered[0],
        "median": ordered[len(ordered) // 2],
        "largest": ordered[-1],
        "commonest": [{"size": size, "images": count} for size, count in Counter(sizes).most_common(5)],
    }


def group_exact(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Files with the same bytes; `across` says whether a group spans splits, classes or both."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.digest:
            groups[finding.digest].append(finding)
    return [
        {"paths": sorted(finding.path for finding in group), "across": _across(group)}
        for group in groups.values()
        if len(group) > 1
    ]


def find_near(findings: Iterable[Finding], near: int, block: int = 1024) -> list[dict[str, Any]]:
    """Pairs whose 64-bit perceptual hashes differ in at most `near` bits and whose bytes differ; nearest first."""
    known = [finding for finding in findings if finding.phash is not None]
    hashes: NDArray[np.uint64] = np.array([finding.phash for finding in known], dtype=np.uint64)
    pairs = []
    for start in range(0, len(known), block):
        distance = np.bitwise_count(hashes[start : start + block, None] ^ hashes[None, :])
        for row, column in zip(*np.nonzero(distance <= near), strict=True):
            first, second = known[start + row], known[column]
            if start + row < column and first.digest != second.digest:
                pairs.append({
                    "paths": [first.path, second.path],
                    "bits": int(distance[row, column]),
                    "across": _across([first, second]),
                })  # fmt: skip
    return sorted(pairs, key=lambda pair: pair["bits"])


def print_report(report: dict[str, Any], console: Console) -> None:
    """The report for a person; lists are cut after five files, report.json has them all."""
    splits = sorted({split for counts in report["classes"].values() for split in counts})
    table = Table(
        "class", *[f"{split} images" for split in splits], title=f"{report['folder']}: {report['images']} images"
    )
    for name, counts in report["classes"].items():
        table.add_row(name, *[str(counts.get(split, 0)) for split in splits])
    console.print(table)
    if report["sizes"]:
        sizes = {name: "x".join(map(str, report["sizes"][name])) for name in ("smallest", "median", "largest")}
        console.print("sizes: " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    for problem, paths in report["problems"].items():
        _print_paths(console, f"{problem}: {len(paths)}", paths)
    for name in ("exact_duplicates", "near_duplicates"):
        groups = report[name]
        leaks = sum("splits" in group["across"] for group in groups)
        title = f"{name.replace('_', ' ')}: {len(groups)}, of these {leaks} across splits"
        ordered = sorted(groups, key=lambda group: "splits" not in group["across"])
        _print_paths(console, title, [" = ".join(group["paths"]) for group in ordered])
    if not report["problems"] and not report["exact_duplicates"] and not report["near_duplicates"]:
        console.print("[green]nothing to mend[/green]")


def _print_paths(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print(f"[yellow]{title}[/yellow]")
    for line in lines[:5]:
        console.print(f"  {line}", highlight=False, markup=False)
    if len(lines) > 5:
        console.print(f"  ... and {len(lines) - 5} more")


def _across(group: list[Finding]) -> list[str]:
    spans = {"splits": {finding.split for finding in group}, "classes": {finding.class_name for finding in group}}
    return [name for name, values in spans.items() if len(values) > 1]
