"""What do the tests of the page start from? The built page, node, and a browser."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
WEB = REPOSITORY / "web"
PAGE = REPOSITORY / "src" / "rapidnet" / "serving" / "page"


def require_page() -> Path:
    """The built page; an untested page is no tested one, so without it tests fail."""
    assert (PAGE / "index.html").is_file() and (WEB / "node_modules").is_dir(), "the page is not built; run make page"
    return PAGE


def find_node() -> Path:
    """Node, as the package from PyPI brings it."""
    node = Path(sys.executable).parent / ("node.exe" if os.name == "nt" else "node")
    assert node.is_file(), "node is not installed; run make page"
    return node


@cache
def find_chromium() -> tuple[str, dict[str, str]]:
    """The browser's path, and what its environment needs on a machine without its libraries or fonts."""
    require_page()
    told = subprocess.run(
        [find_node(), "scripts/chromium.mjs"], cwd=WEB, capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(told.stdout)
    return found["executable"], found["environment"]
