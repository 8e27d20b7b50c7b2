"""What does a person take to a phone to see the same numbers there? Golden inputs, answers, a page and a script."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np

from rapidnet.errors import UserError
from rapidnet.export.checks import TOLERANCES
from rapidnet.export.golden import GOLDEN, Golden
from rapidnet.runtimes.bundle import read_card

TEMPLATES = ("index.html", "check.py", "README.md")


def write_device_kit(bundle: Path, folder: Path) -> None:
    """Write the kit of a bundle into a new or empty folder.

    inputs.bin: uint8 [N, 3, S, S] pixels, C order (float32, normalised, for a raw artifact); expected.bin: float32
    [N, num_classes]; manifest.json: shapes, kinds of input, bounds, classes; the artifact; a page for browsers; a
    script that compares what a device wrote.

    Raises:
        UserError: no bundle, a changed one, or a folder that already holds something.
    """
    card = read_card(bundle)
    if "output" not in card:
        raise UserError(f"--device-kit is for classifiers, and {bundle} is of --task {card['task']}; leave it out")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--device-kit {folder} is not empty; give a new folder")
    golden = Golden.load(bundle / GOLDEN)
    inputs = golden.pixels
    if card["input"]["dtype"] == "float32":
        mean, std = (np.array(card["preprocessing"][key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
        inputs = ((inputs / 255 - mean) / std).astype(np.float32)
    tolerance = TOLERANCES[card["precision"]]
    manifest = {
        "model": card["model"],
        "format": card["format"],
        "precision": card["precision"],
        "artifact": card["artifact"],
        "artifact_sha256": {name: card["files"][name] for name in sorted(card["files"]) if name != GOLDEN},
        "input": {"shape": list(inputs.shape), "dtype": card["input"]["dtype"], "file": "inputs.bin"},
        "output": {"name": card["output"]["name"], "shape": list(golden.reference.shape), "dtype": "float32"},
        "kinds": golden.kinds.tolist(),
        "bounds": {"sqnr_db": tolerance.sqnr_db, "max_rel": tolerance.max_rel, "real_only": tolerance.real_only},
        "classes": card["classes"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.ascontiguousarray(inputs).tofile(folder / "inputs.bin")
    golden.reference.astype("<f4").tofile(folder / "expected.bin")
    for name in card["files"]:
        if name != GOLDEN:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / name, folder / name)
    for name in TEMPLATES:
        shutil.copyfile(str(files("rapidnet.export") / "device_kit_files" / name), folder / name)
    # Last, so that a kit with a manifest is a whole one.
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
