"""How does a trained network get onto the phone in your hand? Exported if need be, served, its address as a QR code."""

import contextlib
import json
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rapidnet.config import DemoConfig, ExportConfig, QuickstartConfig, ServeConfig
from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import compute_file_hash, is_bundle, read_card
from rapidnet.serving.page import is_built
from rapidnet.serving.self_signed import write_certificate
from rapidnet.serving.serve import require_packages, serve

ANY = ("0.0.0.0", "::")
"""Hosts that stand for every address of this machine."""
ELSEWHERE = "192.0.2.1"
"""An address of RFC 5737 that belongs to nobody: asking for the way there sends nothing."""
WITHHELD = (
    "Over plain http a phone's browser withholds the live camera, WebGPU, threads and use without a network; pictures "
    "from its gallery work. With --https they work after a warning."
)


def run_demo(config: DemoConfig) -> int:
    """The demo command; returns when it was told to stop."""
    require_packages()
    require_segno()
    bundles = find_bundles(config)
    with TemporaryDirectory() as folder:
        certificate, key = config.tls_certificate, config.tls_key
        if config.https:
            certificate, key = map(str, write_certificate(Path(folder), name_this_machine(config.host)))
        settings = ServeConfig(
            [str(path) for path in bundles], host=config.host, port=config.port, tls_certificate=certificate,
            tls_key=key, quiet=True,
        )  # fmt: skip
        return serve(settings, "", lambda address: announce(address, config.host, bundles), sys.stderr)


def name_this_machine(host: str) -> list[str]:
    """What browsers may call it: the address that is listened on, or all that stand for this machine."""
    return ["localhost", "127.0.0.1", *filter(None, [find_own_address()])] if host in ANY else [host]


def require_segno() -> None:
    try:
        import segno  # noqa: F401
    except ImportError:
        raise UserError("the QR code needs segno; install it with pip install 'rapidnet[serve]'") from None


def find_bundles(config: DemoConfig) -> list[Path]:
    """The bundles named, those of the run named, or those of the quickstart, made where there are none.

    Raises:
        UserError: several runs, or neither a run nor a bundle.
    """
    named = [Path(name) for name in config.what]
    if named and all(is_bundle(path) for path in named):
        return named
    if len(named) > 1:
        raise UserError(f"{', '.join(map(str, named))} are not all bundles; name one run, or bundles alone")
    return export_current(named[0] if named else find_quickstart(config))


def find_quickstart(config: DemoConfig) -> Path:
    """The run of the quickstart, which is made first if there is none."""
    folder = Path("runs/quickstart" if config.task == "classify" else f"runs/quickstart_{config.task}")
    if not (folder / "run").is_dir():
        from rapidnet.quickstart.run import run_quickstart

        print(f"There is no {folder / 'run'} yet: the quickstart trains it, which takes some minutes.", flush=True)
        if run_quickstart(QuickstartConfig(task=config.task, output=str(folder))):
            raise UserError("the quickstart did not finish; run rapidnet demo again")
    return folder / "run"


def export_current(run: Path) -> list[Path]:
    """The run's network in the forms that the page runs: in fp32 and, of a classifier, in int8.

    They lie beside the run and are made again only if the run's checkpoint has changed.

    Raises:
        UserError: there is no run; as exporting; the fp32 artifact fails its checks.
    """
    from rapidnet.evaluation.dense_predictor import is_dense
    from rapidnet.evaluation.trained import resolve_checkpoint
    from rapidnet.export.export import run_export

    checkpoint = resolve_checkpoint(run)
    if not checkpoint.is_file():
        raise UserError(f"there is no run, checkpoint or bundle at {run}; name one that is there")
    sha256, folder = compute_file_hash(checkpoint), run.parent / f"{run.stem}_exported"
    found = []
    for form, precision in list_forms(is_dense(str(run))):
        bundle, rejected = find_current(folder, form, precision, sha256)
        if bundle is None and not rejected:
            run_export(ExportConfig(str(run), format=form, precision=precision, output=str(folder)))  # type: ignore[arg-type]
            bundle, rejected = find_current(folder, form, precision, sha256)
        if bundle is not None:
            found.append(bundle)
        elif precision == "fp32":
            raise UserError(f"the network of {run} failed its checks; the report is in {folder}")
        else:
            print(f"Without {form} in {precision}, which failed its checks: the report is in {folder}.", flush=True)
    return found


def list_forms(dense: bool) -> list[tuple[str, str]]:
    """Formats and precisions, that which answers requests first. LiteRT, where it can be made, is the faster in a
    browser, in int8 the more."""
    formats = ["onnx", *(["litert"] if find_spec("litert_torch") else [])]
    return [("onnx", "fp32")] if dense else [(form, precision) for precision in ("fp32", "int8") for form in formats]


def find_current(folder: Path, form: str, precision: str, sha256: str) -> tuple[Path | None, bool]:
    """The bundle made of the checkpoint with this hash, and whether one was rejected instead."""
    for path in sorted(folder.glob(f"*-{form}-{precision}*")):
        with contextlib.suppress(UserError, OSError, ValueError, KeyError):
            card: dict[str, Any] = read_card(path) if is_bundle(path) else json.loads(path.read_text(encoding="utf-8"))
            if card["provenance"]["checkpoint_sha256"] == sha256:
                return (path, False) if is_bundle(path) else (None, True)
    return None, False


def announce(address: str, host: str, bundles: list[Path]) -> None:
    """Print where the server is, for this machine and for a phone, with a QR code."""
    scheme, _, rest = address.partition("://")
    port = rest.rpartition(":")[2]
    print(f"serving {', '.join(path.name for path in bundles)}")
    reached = find_own_address() if host in ANY else ""
    if host not in ANY:
        print(f"at {address}")
    else:
        print(f"on this machine: {scheme}://localhost:{port}")
    if reached:
        phone = f"{scheme}://{reached}:{port}/"
        print(f"on a phone in the same network: {phone}\n")
        print_code(phone)
    if not is_built():
        print("The page is not built, so that the phone will see a note only: run make page first.")
    if scheme == "http":
        print(WITHHELD)
    print("Anybody in the network can use the server; Ctrl-C stops it." if host in ANY else "Ctrl-C stops.", flush=True)


def print_code(text: str) -> None:
    """A QR code of half blocks."""
    import segno

    # A code with few pixels suits a terminal; the border is what cameras need to find it.
    segno.make(text, error="l", micro=False).terminal(out=sys.stdout, compact=True, border=2)


def find_own_address() -> str:
    """This machine's address in its network, as others see it; empty without a network."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((ELSEWHERE, 9))
        found = str(probe.getsockname()[0])
        return "" if found.startswith("127.") or found == "0.0.0.0" else found
    return ""
