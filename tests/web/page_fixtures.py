"""What do the tests of the page share? Small bundles, two servers, and one browser."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from page import find_chromium, require_page
from page_server import PageServer
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from conftest import tiny_config
from export.dense_runs import write_run
from rapidnet.config import ExportConfig, OptimizerConfig
from rapidnet.export.export import run_export
from rapidnet.training.train import run_train

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from static_page import write_site

COLORS = {
    "red": (200, 40, 40),
    "green": (40, 180, 60),
    "blue sky": (60, 90, 220),
    "sun": (220, 200, 40),
    "night": (25, 25, 40),
    "snow": (220, 220, 225),
}
HEADS = ("fcos", "semantic_fpn")


def write_colors(folder: Path, count: int) -> None:
    """<folder>/<class>/<n>.png: each class a colour of its own, in noise."""
    rng = np.random.default_rng(count)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for n in range(count):
            noise = rng.integers(-25, 25, (40, 40, 3))
            Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8)).save(folder / name / f"{n}.png")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Path]:
    """Bundles: a classifier for ONNX Runtime in fp32 and int8 and for LiteRT, a detector, a segmenter. Processes share
    them."""
    require_page()
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "page"
    with FileLock(f"{root}.lock"):
        if not (root / "done").is_file():
            shutil.rmtree(root, ignore_errors=True)
            export_bundles(root)
            (root / "done").touch()
    names = {"classes": "onnx-fp32", "int8": "onnx-int8"} | {head: f"{head}-onnx-fp32" for head in HEADS}
    names["litert"] = "litert-fp32"
    return {key: root / "out" / f"rapidnet_ti-{name}" for key, name in names.items()}


def export_bundles(root: Path) -> None:
    photos = root / "photos"
    for part, count in (("train", 8), ("val", 3)):
        write_colors(photos / part, count)
    config = tiny_config(photos, root / "run", epochs=10, optimizer=OptimizerConfig(lr=2e-2, warmup_epochs=0.5))
    assert run_train(config, Console(quiet=True)) == 0
    common = {"output": str(root / "out")}
    for formats, precision in (("onnx,litert", "fp32"), ("onnx", "int8")):
        config = ExportConfig(str(root / "run"), formats, precision, check_images=20, **common)
        assert run_export(config) == 0
    for head in HEADS:
        assert run_export(ExportConfig(str(write_run(root / head, head)), check_images=4, **common)) == 0


@pytest.fixture(scope="session")
def site(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the bundles as a static host has them."""
    folder = tmp_path_factory.mktemp("site")
    write_site(list(bundles.values()), folder)
    return folder


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[PageServer]:
    """A server with the isolation headers, as rapidnet serve sends them."""
    with PageServer(site) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed after each file: while Playwright is open, its event loop runs, and other tests could start none."""
    executable, environment = find_chromium()
    arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    # A name that is not the machine's own: plain http from there is no secure address.
    arguments += ["--host-resolver-rules=MAP page.test 127.0.0.1"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=arguments, env=environment or None)
        yield running
        running.close()


@pytest.fixture
def changed(bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the classifier that may be written to."""
    return shutil.copytree(bundles["classes"], tmp_path / "changed-onnx-fp32")
