"""Do the page, the server that gives it out, and Python say the same of one picture?"""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_driver import Opened, as_array
from pictures_to_drop import write_photographs
from playwright.sync_api import Browser

from rapidnet.runtimes.bundle import open_bundle
from rapidnet.serving.page import PAGE, POLICY

pytest_plugins = ("page_fixtures",)


@pytest.fixture
def address(bundles: dict[str, Path]) -> Iterator[str]:
    """Of a `rapidnet serve` with a classifier, a detector and a segmenter."""
    offered = [str(bundles[name]) for name in ("classes", "fcos", "semantic_fpn")]
    command = [sys.executable, "-m", "rapidnet", "serve", *offered, "--port", "0", "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr
            found = re.search(r"http://[^;\s]+", process.stderr.readline())
            assert found
            yield found[0]
        finally:
            process.terminate()
            process.communicate(timeout=30)


def test_page_server_and_python_agree(browser: Browser, address: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    path, other = write_photographs(tmp_path)[1:3]
    bundle = open_bundle(bundles["classes"])
    expected = bundle.predict(bundle.prepare(path)[None])[0]
    served = {one["class"]: one["probability"] for one in ask_server(address, path)}
    with Opened(browser, address) as opened:
        opened.wait_ready()
        assert opened.page.evaluate("crossOriginIsolated")
        given = as_array(opened.ask(path)["answer"]["probabilities"], -1)
        assert opened.page.locator("#family option").count() == 3
        assert opened.verify() == ["Passed", "Passed"]
    assert np.abs(given - expected).max() < 0.02
    assert max(abs(served[name] - p) for name, p in zip(bundle.classes, given.tolist(), strict=True)) < 0.02
    # Of another picture the same comparison says so.
    another = {one["class"]: one["probability"] for one in ask_server(address, other)}
    assert max(abs(another[name] - p) for name, p in zip(bundle.classes, given.tolist(), strict=True)) > 0.02


def test_the_server_s_policy_is_the_page_s(bundles: dict[str, Path]) -> None:
    found = re.search(r'Content-Security-Policy" content="([^"]+)"', (PAGE / "index.html").read_text())
    assert found
    # What a meta element cannot forbid, the server does.
    assert f"{found[1]}; frame-ancestors 'none'" == POLICY


def ask_server(address: str, path: Path) -> list[dict[str, object]]:
    """Every class with its probability."""
    request = urllib.request.Request(
        f"{address}/v1/predict?top=6", path.read_bytes(), {"content-type": "image/jpeg"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[dict[str, object]] = json.loads(answer.read())["results"][0]["predictions"]
    return found
