"""Does a bundle still hold what its card promises, on this machine and with this runtime? Offline, without torch."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from rapidnet.config.export import VerifyConfig
from rapidnet.export.device_kit import write_device_kit
from rapidnet.export.golden import GOLDEN, Golden
from rapidnet.export.prove import prove
from rapidnet.export.report import print_certificate
from rapidnet.runtimes.bundle import open_bundle
from rapidnet.runtimes.formats import FORMATS

FAILED = 4
"""The exit code when a check fails, as in export."""


def run_verify(config: VerifyConfig) -> int:
    """The verify command: 0 if every check passes here, 4 if one fails.

    Raises:
        UserError: no bundle, a file that is not the certified one, a runtime that is not installed.
    """
    certificate, runtime = verify(config.bundle, config.threads, config.arithmetic, config.compute_unit)
    if config.json:
        print(json.dumps({"bundle": config.bundle, "runtime": runtime, **certificate}))
    else:
        console = Console()
        print_certificate(certificate, f"{config.bundle}, run by {runtime}", console)
        console.print(f"verdict: [bold]{certificate['verdict']}[/bold]", highlight=False)
    if config.device_kit:
        write_device_kit(Path(config.bundle), Path(config.device_kit))
        Console(stderr=True).print(f"device kit in [bold]{config.device_kit}[/bold]; open its README.md")
    return 0 if certificate["verdict"] == "passed" else FAILED


def verify(
    path: str | Path, threads: int = 0, arithmetic: str = "", unit: str = ""
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """The certificate of a bundle, made anew on this machine, and what ran it."""
    bundle = open_bundle(path, threads, arithmetic, unit)
    card = bundle.card
    kind = FORMATS[card["format"]]
    golden = Golden.load(bundle.path / GOLDEN)
    structure = kind.inspect(bundle.path / card["artifact"])
    proof = prove(bundle, kind, card["precision"], golden, structure, card["expected"], arithmetic=arithmetic)
    return proof.certificate.to_dict(), bundle.network.runtime
