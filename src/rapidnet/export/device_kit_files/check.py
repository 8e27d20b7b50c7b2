"""Are the outputs that a device wrote the ones this network ought to give? Needs Python and numpy only.

    python check.py measured.bin      # float32, [N, num_classes] in the order of inputs.bin, C order, little endian

Ends with 0 if they are within the bounds of manifest.json, 1 if not, 2 if the file cannot be compared.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def compute_sqnr(expected: np.ndarray, measured: np.ndarray) -> float:
    noise = float(np.square(expected - measured).sum())
    return 10 * float(np.log10(np.square(expected).sum() / noise)) if noise else float("inf")


def compare(expected: np.ndarray, measured: np.ndarray, manifest: dict) -> bool:
    """Print a line for each kind of input; whether all that is judged holds."""
    bounds, kinds = manifest["bounds"], np.array(manifest["kinds"])
    holds = bool(np.isfinite(measured).all())
    for kind in dict.fromkeys(manifest["kinds"]):
        rows = kinds == kind
        sqnr = compute_sqnr(expected[rows], measured[rows])
        error = float(np.abs(expected[rows] - measured[rows]).max()) / float(np.abs(expected).max())
        same = int((expected[rows].argmax(1) == measured[rows].argmax(1)).sum())
        judged = kind == "real" or not bounds["real_only"]
        good = sqnr >= bounds["sqnr_db"] and error <= bounds["max_rel"]
        holds &= good or not judged
        verdict = ("passed" if good else "FAILED") if judged else "reported only"
        print(f"{kind:8} SQNR {sqnr:7.2f} dB  largest error {error:.2e}  same class {same}/{rows.sum()}  {verdict}")
    return holds


def main(arguments: list) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 2
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    shape = manifest["output"]["shape"]
    measured = np.fromfile(arguments[0], dtype="<f4")
    if measured.size != np.prod(shape):
        print(f"{arguments[0]} holds {measured.size} float32 values; {shape[0]} x {shape[1]} are needed")
        return 2
    expected = np.fromfile(HERE / "expected.bin", dtype="<f4").reshape(shape).astype(np.float64)
    holds = compare(expected, measured.reshape(shape).astype(np.float64), manifest)
    # A check that cannot fail proves nothing: the same outputs, one class further, must not pass.
    print("\ncontrol, classes moved on by one:")
    if compare(expected, np.roll(measured.reshape(shape), 1, axis=1).astype(np.float64), manifest):
        print("the control passed, so this comparison proves nothing")
        return 1
    print("\nverdict:", "passed" if holds else "FAILED")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
