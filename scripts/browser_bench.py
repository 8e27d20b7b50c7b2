"""How fast is RapidNet-Ti in a browser, and what made it so?

    python scripts/browser_bench.py BUNDLES --results results/browser.jsonl

Everything runs in one page that `rapidnet serve` gives out, in headless Chromium, in turns: the plain float32 graph in
onnxruntime-web's WebAssembly, each attempt to be faster, and MobileNetV2 x1.4 in the same ways. An attempt is timed
only if its golden answers agree. BUNDLES is a folder of 224 px bundles that `rapidnet export` and `rapidnet bench
--keep` wrote; `_relu` marks a network trained with ReLU, which is another network. `expected` are shares of the plain
graph's time: those marked `first look` had been seen in a trial of a few runs before they were written down.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Error, Page, sync_playwright
from rich.progress import Progress

from rapidnet.benchmark.estimates import compare, estimate
from rapidnet.benchmark.schedule import Mode, take_turns
from rapidnet.environment import append_rows
from rapidnet.runtimes.bundle import read_card

WEB = Path(__file__).resolve().parents[1] / "web"


@dataclass(frozen=True)
class Attempt:
    """What takes turns. expected: its time over that of the plain graph, before it was measured."""

    bundle: str
    backend: str = "wasm"
    expected: float | None = None
    first_look: bool = False

    @property
    def name(self) -> str:
        return f"{self.bundle} in {self.backend}"


PLAIN = Attempt("rapidnet_ti-onnx-fp32")
ATTEMPTS = [
    PLAIN,
    Attempt("rapidnet_ti-onnx-int8", expected=0.65, first_look=True),
    Attempt("rapidnet_ti-litert-fp32", expected=1.1, first_look=True),
    Attempt("rapidnet_ti-litert-int8", expected=0.35, first_look=True),
    Attempt("rapidnet_ti-onnx-fp32_relu", expected=0.75),
    Attempt("rapidnet_ti-onnx-int8_relu", expected=0.55),
    Attempt("rapidnet_ti-litert-int8_relu", expected=0.33),
    Attempt("mobilenetv2_140-onnx-fp32"),
    Attempt("mobilenetv2_140-onnx-int8"),
    Attempt("mobilenetv2_140-litert-fp32"),
    Attempt("mobilenetv2_140-litert-int8"),
]


BROWSER = ["--no-sandbox"]
"""A container has no sandbox to give."""
MODES = {
    "standard": Mode(runs=400, seconds=20, blocks=40, warm_runs=10, warm_seconds=2, headline=True),
    "quick": Mode(runs=60, seconds=2, blocks=10, warm_runs=5, warm_seconds=0.5, headline=False),
}


@dataclass(frozen=True)
class Opened:
    """A network that is open in a worker of the page."""

    page: Page
    number: int

    def run(self, count: int, warm: int) -> list[float]:
        times = self.page.evaluate("([id, runs]) => turns.run(id, runs)", [self.number, count + warm])
        return [float(time) for time in times[warm:]]


def find_chromium() -> tuple[str, dict[str, str]]:
    """The browser that the page's tests take, and the environment it needs."""
    node = Path(sys.executable).with_name("node")
    told = subprocess.run([node, WEB / "scripts" / "chromium.mjs"], check=True, capture_output=True, text=True)
    found = json.loads(told.stdout)
    return found["executable"], found["environment"]


@contextmanager
def serve(bundles: list[Path], port: int) -> Iterator[str]:
    """The address of a `rapidnet serve` that offers the bundles."""
    command = [sys.executable, "-m", "rapidnet", "serve", *map(str, bundles), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = f"http://127.0.0.1:{port}/"
            for _ in range(300):
                if server.poll() is not None:
                    raise SystemExit(server.stderr.read() if server.stderr else "the server stopped")
                with suppress(OSError), urlopen(address + "readyz") as answer:
                    if answer.status == 200:
                        break
                time.sleep(0.1)
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=30)


def measure(page: Page, threads: int, mode: Mode) -> list[dict[str, Any]]:
    """A row for each attempt; one that cannot be opened or whose answers are wrong says why instead of figures."""
    rows: dict[str, dict[str, Any]] = {}
    runners: dict[str, Opened] = {}
    for attempt in ATTEMPTS:
        rows[attempt.name] = asdict(attempt) | {"threads": threads}
        try:
            opened = page.evaluate(
                "([name, backend, threads]) => turns.open(name, backend, threads)",
                [attempt.bundle, attempt.backend, threads],
            )
        except Error as error:
            rows[attempt.name]["refused"] = error.message.splitlines()[0]
            continue
        rows[attempt.name] |= {"load_ms": opened["loadMs"], "first_ms": opened["firstMs"]}
        runners[attempt.name] = Opened(page, opened["id"])
    with Progress() as progress:
        task = progress.add_task(f"{len(runners)} networks take turns, {threads} threads", total=1)
        times = take_turns(runners, mode, lambda share: progress.update(task, completed=share))
    for name, taken in times.items():
        found = estimate(taken)
        rows[name] |= {
            "latency_ms_p50": found.p50, "latency_ms_p90": found.p90, "latency_ms_p99": found.p99, "runs": found.runs,
            "spread": found.spread, "drift": found.drift, "stable": found.stable, "reasons": found.reasons,
            "against_plain": compare(taken, times[PLAIN.name]).to_dict(),
        }  # fmt: skip
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=MODES, default="standard")
    parser.add_argument("--results", default="")
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    names = list(dict.fromkeys(attempt.bundle for attempt in ATTEMPTS))
    cards = {name: read_card(options.bundles / name) for name in names}
    executable, environment = find_chromium()
    with serve([options.bundles / name for name in names], options.port) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=BROWSER, env=os.environ | environment)
        page = browser.new_page()
        page.goto(f"{address}?turns")
        # Waiting for a function would evaluate a string, which the page's policy forbids.
        while not page.evaluate("Boolean(window.turns)"):
            time.sleep(0.1)
        rows = measure(page, options.threads, MODES[options.mode])
        shared = {
            "study": "browser", "mode": options.mode, "browser": f"Chromium {browser.version}, headless",
            "isolated": page.evaluate("crossOriginIsolated"),
        }  # fmt: skip
        browser.close()
    for row in rows:
        card = cards[row["bundle"]]
        row |= shared | {key: card[key] for key in ("model", "format", "precision")}
        row["artifact_sha256"] = card["files"][card["artifact"]]
        print(f"{row['bundle']:32s} {row['backend']:7s}", row.get("refused") or "{latency_ms_p50:.1f} ms".format(**row),
              row.get("against_plain", {}).get("ratio", ""))  # fmt: skip
    if options.results:
        append_rows(options.results, rows)


if __name__ == "__main__":
    main()
