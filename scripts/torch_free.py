"""Does a bundle answer as its network where there is nothing but numpy, Pillow and ONNX Runtime?

python scripts/torch_free.py RUN IMAGES [--work FOLDER]

Exports RUN to ONNX, makes a fresh virtual environment with those three packages (the versions of requirements.lock) and
this package without its dependencies, predicts every image of IMAGES there and compares with the run's own answers.
Ends with 1 unless every class is the same and every probability within 1e-5.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "pillow", "onnxruntime")
TOLERANCE = 1e-5


def run(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def build_environment(folder: Path) -> Path:
    """A virtual environment with the three packages, what they need, and ours; returns its Python."""
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.M))
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, *[f"{name}=={locked[name]}" for name in PACKAGES])
    run(*pip, "--no-deps", ROOT)
    present = {row["name"].lower() for row in json.loads(run(python, "-m", "pip", "list", "--format", "json"))}
    if "torch" in present:
        raise SystemExit("torch came along; this environment proves nothing")
    print(f"environment: {', '.join(sorted(present))}")
    return python


def read_answers(lines: str) -> dict[str, list[tuple[str, float]]]:
    rows = [json.loads(line) for line in lines.splitlines()]
    return {row["image"]: [(p["class"], p["probability"]) for p in row["predictions"]] for row in rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        python = build_environment(work / "environment")
        run(sys.executable, "-m", "rapidnet", "export", options.run, "--output", work / "exported")
        (bundle,) = (work / "exported").iterdir()
        expected = read_answers(run(sys.executable, "-m", "rapidnet", "predict", options.run, options.images, "--json"))
        found = read_answers(run(python, "-I", "-m", "rapidnet.runtimes", bundle, *sorted(expected)))
    worst = 0.0
    for image, answers in expected.items():
        ours = dict(found[image])
        worst = max([worst, *(abs(ours[name] - probability) for name, probability in answers if name in ours)])
        if found[image][0][0] != answers[0][0]:
            print(f"{image}: {found[image][0]} without torch, {answers[0]} with it")
            return 1
    print(f"{len(expected)} images: same first answers, largest difference of a probability {worst:.1e}")
    return 0 if expected and worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
