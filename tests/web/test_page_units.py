"""Do the page's parts compute what Python computes, each on its own, under node?"""

import subprocess
from pathlib import Path

from page import WEB, find_node, require_page
from unit_cases import write_cases


def test_the_parts_of_the_page(tmp_path: Path) -> None:
    require_page()
    write_cases(tmp_path)
    files = sorted(str(path.relative_to(WEB)) for path in (WEB / "test").glob("*.test.ts"))
    assert len(files) >= 6
    told = subprocess.run(
        [find_node(), "--test", "--test-reporter=spec", *files], cwd=WEB, capture_output=True, text=True, check=False,
        timeout=200, env={"RAPIDNET_CASES": str(tmp_path), "NODE_NO_WARNINGS": "1"},
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    # Tests that did not run prove nothing.
    assert "pass 0" not in told.stdout and "skipped 0" in told.stdout, told.stdout
