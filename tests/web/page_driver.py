"""How does a test use the page: open it, give it files, wait for what it answers?"""

import base64
import json
import mimetypes
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, BrowserContext, Error, Page, Worker

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

# Answers are kept as plain lists; a machine with one processor stands for one with two.
LISTEN = """
Object.defineProperty(navigator, "hardwareConcurrency", { get: () => 2 });
window.answers = [];
const plain = (value) => ArrayBuffer.isView(value) ? [...value]
  : Array.isArray(value) ? value.map(plain)
  : value?.constructor !== Object ? value
  : Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
document.addEventListener("rapidnet-answer", ({ detail }) => {
  const { preview, ...rest } = detail;
  window.answers.push(JSON.stringify(plain(rest)));
});
"""
DROP = """([place, files]) => {
  const transfer = new DataTransfer();
  for (const { name, type, data, path } of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const file = new File([bytes], name, { type });
    if (path) Object.defineProperty(file, "webkitRelativePath", { value: path });
    transfer.items.add(file);
  }
  const event = place === "paste" ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.getElementById("stage").dispatchEvent(event);
}"""

# What a program in the page's place might try, as functions of JavaScript.
FETCH = "([url, options]) => fetch(url, options).then((response) => response.type, () => 'refused')"
LOAD_IMAGE = """(url) => new Promise((done) => {
  const image = new Image();
  image.onload = image.onerror = (event) => done(event.type);
  image.src = url;
})"""
FOCUSED = """() => {
  const found = document.activeElement;
  const name = found.closest("ul, a")?.id || found.id || found.className;
  return [name, getComputedStyle(found).outlineStyle, found.type ?? ""];
}"""
FAULTS = """axe.run().then(({ violations }) =>
  violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html + node.failureSummary)]))"""


class Opened:
    """The page in a browser context of its own; `requests` are all that it made, `problems` what it complained of."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**({"viewport": DESKTOP} | options))
        self.context.add_init_script(LISTEN)
        self.requests: list[tuple[str, str]] = []
        self.context.on("request", lambda request: self.requests.append((request.method, request.url)))
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def wait_until(self, expression: str, seconds: float = 30) -> None:
        """Until JavaScript says yes. Playwright's own wait compiles code inside the page, which its policy forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"{expression} did not come true; {self.complaints}"
            self.page.wait_for_timeout(30)

    def wait_problem(self, words: str) -> str:
        """The sentence that is shown, once it holds `words`."""
        self.wait_until(f"document.getElementById('problem').textContent.includes({json.dumps(words)})")
        return self.page.inner_text("#problem")

    def wait_ready(self) -> "Opened":
        """Until a backend is in use, and nothing more is measured."""
        self.page.wait_for_selector("#backends small:has-text('in use')", timeout=60_000)
        for state in ("queued", "measuring"):
            self.page.wait_for_selector(f"#backends .value:has-text('{state}')", state="detached", timeout=60_000)
        self.page.wait_for_selector("#busy", state="hidden")
        return self

    def choose_family(self, key: str) -> None:
        """Choose among the bundles; waits until it is open and measured."""
        self.page.select_option("#family", key)
        self.page.wait_for_selector("#loading", state="hidden")
        self.wait_ready()

    def give(self, path: Path, how: str = "drop", name: str = "") -> None:
        """A file, dropped or pasted or chosen."""
        if how == "choose":
            self.page.set_input_files("#file", path)
            return
        kind = mimetypes.guess_type(path.name)[0] or ""
        data = base64.b64encode(path.read_bytes()).decode()
        self.page.evaluate(DROP, [how, [{"name": name or path.name, "type": kind, "data": data}]])

    def ask(self, path: Path, how: str = "drop") -> dict[str, Any]:
        """What the page answers to a picture: answer, steps, width, height, note, bundle."""
        before = self.page.evaluate("answers.length")
        self.give(path, how)
        self.wait_until(f"answers.length > {before}")
        found: dict[str, Any] = json.loads(self.page.evaluate("answers.at(-1)"))
        return found

    def find_worker(self) -> Worker:
        """The worker in use. The list also holds ended ones, and threads of the runtime, which hang on a lock."""
        for worker in self.page.workers:
            if worker.url.startswith("blob:"):
                try:
                    worker.evaluate("1")
                    return worker
                except Error:
                    continue
        raise AssertionError(f"no worker is at work: {[worker.url for worker in self.page.workers]}")

    def verify(self) -> list[str]:
        """The verdict of each backend."""
        self.page.click("#verify")
        self.page.wait_for_selector(".certificate")
        self.page.wait_for_selector("#verifying", state="hidden", timeout=60_000)
        return self.page.locator(".verdict").all_inner_texts()


def as_array(values: list[Any], *shape: int) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float64).reshape(*shape)
