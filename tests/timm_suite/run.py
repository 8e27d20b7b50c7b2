"""Do timm's own model tests pass on our networks? Runs its test file, unmodified, from its source distribution."""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.0.31"
SHA256 = "baa0b333339c46d3d6d4965d99b69f5053afed71210e8f433d7ea5ee6a18f0ec"
# 11 tests apply to a network without published weights, for each of four variants.
EXPECTED = 44


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*fetch, "--no-binary", "timm", f"timm=={VERSION}", "--dest", folder], check=True)
        archive = Path(folder) / f"timm-{VERSION}.tar.gz"
        if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
            print(f"{archive.name} is not the file this was written for")
            return 1
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
        # In GitHub's CI timm leaves most tests out; all of them are wanted here.
        environment = {key: value for key, value in os.environ.items() if key != "GITHUB_ACTIONS"}
        environment |= {"PYTHONPATH": str(Path(__file__).parent), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "rapidnet_timm_plugin", "test_models.py"]
        run = subprocess.run(
            [*command, "-k", "rapidnet_ and not pretrained"],
            cwd=Path(folder) / f"timm-{VERSION}" / "tests",
            env=environment, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    print(run.stdout[-3000:])
    passed = re.search(r"(\d+) passed", run.stdout)
    if run.returncode or not passed or int(passed[1]) != EXPECTED or "skipped" in run.stdout:
        print(f"expected {EXPECTED} passed and none skipped")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
