"""Does the page work without a network, keep every picture on the device, and serve keys and screen readers alike?"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from page import WEB
from page_driver import DESKTOP, FAULTS, FETCH, FOCUSED, LOAD_IMAGE, PHONE, Opened
from page_server import PageServer
from pictures_to_drop import write_photographs
from playwright.sync_api import Browser

from rapidnet.runtimes.bundle import open_bundle

pytest_plugins = ("page_fixtures",)
FCOS = "rapidnet_ti-fcos-onnx"


def test_any_static_host_gets_threads_and_works_offline(browser: Browser, site: Path, tmp_path: Path) -> None:
    path = write_photographs(tmp_path)[0]
    with PageServer(site, isolated=False) as static, Opened(browser, static.url) as opened:
        opened.wait_ready()
        assert opened.page.evaluate("crossOriginIsolated") and "2 threads" in opened.page.inner_text("#backends")
        opened.page.wait_for_selector("#offline:has-text('Ready offline')")
        before = opened.ask(path)["answer"]
        static.stop()
        opened.context.set_offline(True)
        opened.page.reload()
        opened.wait_ready()
        assert opened.ask(path)["answer"] == before
        # What was not opened yet is not there, and that is said.
        opened.page.select_option("#family", FCOS)
        opened.wait_problem("cannot be fetched")


def test_plain_http_still_answers(
    browser: Browser, server: PageServer, bundles: dict[str, Path], tmp_path: Path
) -> None:
    path = write_photographs(tmp_path)[0]
    with Opened(browser, server.url.replace("localhost", "page.test")) as opened:
        opened.wait_ready()
        assert not opened.page.evaluate("isSecureContext") and "plain http" in opened.page.inner_text("#threads")
        assert "2 threads" not in opened.page.inner_text("#backends")
        found = opened.ask(path)["answer"]["probabilities"]
        bundle = open_bundle(bundles["classes"])
        assert np.abs(np.array(found) - bundle.predict(bundle.prepare(path)[None])[0]).max() < 0.02
        opened.page.click("#camera")
        opened.wait_problem("needs a secure address")


@pytest.mark.slow
def test_a_new_version_is_offered(browser: Browser, site: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(site, tmp_path / "site")
    with PageServer(copy) as serving, Opened(browser, serving.url) as opened:
        opened.page.wait_for_selector("#offline:has-text('Ready offline')", timeout=60_000)
        assert not opened.page.is_visible("#update")
        worker = copy / "sw.js"
        worker.write_text(worker.read_text().replace("rapidnet-shell-", "rapidnet-shell-next-"))
        opened.page.reload()
        # The button is there once the new worker has all its files; it loads the page again.
        with opened.page.expect_navigation(timeout=60_000):
            opened.page.click("#update", timeout=60_000)
        opened.wait_ready()
        names = opened.page.evaluate("caches.keys()")
        assert [name for name in names if "shell" in name] and all("next" in name for name in names if "shell" in name)


def test_no_picture_can_leave(browser: Browser, server: PageServer, site: Path, tmp_path: Path) -> None:
    known = {f"/{path.relative_to(site)}" for path in site.rglob("*") if path.is_file()} | {"/"}
    with PageServer(site) as other, Opened(browser, server.url) as opened:
        opened.wait_ready()
        opened.page.wait_for_selector("#offline:has-text('Ready offline')")
        for path in write_photographs(tmp_path)[:3]:
            opened.ask(path)
        for method, url in opened.requests:
            parts = urlsplit(url)
            assert method == "GET" and not parts.query
            assert parts.scheme == "blob" or (url.startswith(server.url) and parts.path in known), url
        # Attempts from the page and from its worker: to another server, and as POST to its own.
        send = {"method": "POST", "body": "pixels"}
        attempts = [(other.url, {"mode": "no-cors"}), (other.url, send | {"mode": "no-cors"}), (server.url, send)]
        opened.page.reload()
        opened.wait_ready()
        for place in (opened.page, opened.find_worker()):
            assert [place.evaluate(FETCH, [*attempt]) for attempt in attempts] == ["refused"] * 3
        # The policy alone, without the service worker and without a header; workers inherit it.
        with Opened(browser, server.url, service_workers="block") as bare:
            bare.wait_ready()
            for place in (bare.page, bare.find_worker()):
                assert [place.evaluate(FETCH, [*attempt]) for attempt in attempts[:2]] == ["refused"] * 2
            assert bare.page.evaluate(LOAD_IMAGE, f"{other.url}icons/icon-192.png") == "error"
        assert other.server.asked == [] and not any(line.startswith("POST") for line in server.server.asked)
        # The same attempts from a page without the policy arrive.
        plain = opened.context.new_page()
        plain.goto(f"{other.url}samples/cat.jpg")
        assert plain.evaluate(FETCH, [attempts[1][0], attempts[1][1]]) in ("basic", "opaque")
        assert "POST /" in other.server.asked


def test_keys_and_screen_readers(browser: Browser, server: PageServer, tmp_path: Path) -> None:
    axe = (WEB / "node_modules" / "axe-core" / "axe.min.js").read_text()
    for scheme, size in (("light", PHONE), ("dark", DESKTOP)):
        with Opened(browser, server.url, viewport=size, color_scheme=scheme, reduced_motion="reduce") as opened:
            opened.wait_ready()
            keys = opened.page.keyboard
            reached = []
            while len(reached) < 40 and "samples" not in reached[-1:]:
                keys.press("Tab")
                name, outline, kind = opened.page.evaluate(FOCUSED)
                reached.append(name)
                # A file's button shows the focus of the input that lies over it.
                assert outline != "none" or kind == "file", reached
            assert reached[0] == "skip" and "camera" in reached
            keys.press("Enter")
            opened.wait_until("answers.length > 0")
            opened.wait_until("/%/.test(document.getElementById('live').textContent)")
            assert ": " in opened.page.get_attribute("#picture", "aria-label")
            if scheme == "light":
                opened.page.focus("#family")
                keys.press("ArrowDown")
                opened.wait_until("document.getElementById('facts').title.includes('fcos')")
                opened.wait_ready()
            opened.page.focus("#verify")
            keys.press("Enter")
            opened.page.wait_for_selector(".certificate .verdict.good", timeout=60_000)
            opened.page.evaluate(axe)
            assert opened.page.evaluate(FAULTS) == []
            opened.page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
