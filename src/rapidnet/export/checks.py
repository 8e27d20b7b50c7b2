"""Is an artifact the network it claims to be? Tolerances, and the checks that hold figures against them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import binomtest

from rapidnet.export.golden import Golden
from rapidnet.runtimes.network import Array, Structure

TIGHTER = 100
"""A check so many times as strict must fail, else it would have let anything through."""


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from its network.

    sqnr_db: signal to quantisation noise ratio, at least, in dB; max_rel: largest error over the largest reference
    value, at most. agreement: share of images with the network's first answer, in percent, at least. accuracy: share
    of the network's own top-1 accuracy (or mAP) kept, in percent, at least. real_only: noise and extreme inputs are
    reported but not judged, since the scales of an int8 artifact were found on photographs. controls: whether mistakes
    have to be noticed, which a network without training may be too blunt for in int8.
    """

    sqnr_db: float
    max_rel: float
    agreement: float
    accuracy: float
    real_only: bool = False
    controls: bool = True

    def tighten(self, factor: float) -> "Tolerance":
        return replace(self, sqnr_db=self.sqnr_db + 20 * np.log10(factor), max_rel=self.max_rel / factor)


# The least that is promised is 80 dB for fp32 and 45 dB for fp16. fp32 is held to more: every backend reaches it, and
# a bound that real artifacts are far above would not notice a small mistake. A hundredth of it lies just below what
# float32 can write down at all.
TOLERANCES = {
    "fp32": Tolerance(112, 3e-6, 99.9, 99.9),
    "fp16": Tolerance(45, 2e-2, 99.5, 99.5),
    # Eight bits of significand, rounded anew in every layer.
    "bf16": Tolerance(25, 0.2, 98.0, 98.0),
    "int8": Tolerance(15, 0.9, 90.0, 98.0, real_only=True),
}


@dataclass(frozen=True)
class Check:
    """One figure against its bound, in words a card can hold; `unit` is dB, percent, or empty."""

    name: str
    passed: bool
    figure: float | str
    bound: float | str
    unit: str = ""

    @property
    def numeric(self) -> bool:
        return self.unit != ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compute_sqnr(reference: Array, output: Array) -> float:
    """Signal to quantisation noise ratio in dB: 10 log10 of the reference's energy over the error's; inf if equal.

    Not a number anywhere gives minus infinity.
    """
    noise = float(np.square(reference.astype(np.float64) - output).sum())
    if not np.isfinite(noise):
        return -np.inf
    signal = float(np.square(reference.astype(np.float64)).sum())
    return 10 * float(np.log10(signal / noise)) if noise else np.inf


def check_tensors(output: Array, golden: Golden, reference: Array, tolerance: Tolerance) -> list[Check]:
    """SQNR and largest error of each output over each kind of input; and whether the right network is the nearest."""
    checks = []
    for (name, truth), given in zip(golden.split(reference).items(), golden.split(output).values(), strict=True):
        largest = float(np.abs(truth).max())
        for kind in ("real", "random", "extreme"):
            rows = golden.kinds == kind
            if not rows.any():
                continue
            judged = kind == "real" or not tolerance.real_only
            sqnr = compute_sqnr(truth[rows], given[rows])
            error = float(np.abs(truth[rows] - given[rows]).max()) / largest
            checks += [
                Check(f"{name}{kind} inputs: SQNR", not judged or sqnr >= tolerance.sqnr_db, round(sqnr, 2),
                      tolerance.sqnr_db if judged else "reported only", "dB"),
                Check(f"{name}{kind} inputs: largest error", not judged or error <= tolerance.max_rel,
                      float(f"{error:.3g}"), tolerance.max_rel if judged else "reported only", "of the largest value"),
            ]  # fmt: skip
    return [*checks, check_nearest(output, golden, reference)] if tolerance.controls else checks


def check_nearest(output: Array, golden: Golden, reference: Array) -> Check:
    """Is the artifact nearer to its own network than to every one with a mistake, by half a decibel or more?"""
    rows = golden.kinds == "real"
    others = [other for other in (*golden.wrong.values(), golden.reference) if other is not reference]
    margin = np.inf
    for name, given in golden.split(output[rows]).items():
        own = compute_sqnr(golden.split(reference[rows])[name], given)
        distances = [compute_sqnr(golden.split(other[rows])[name], given) for other in others]
        margin = min(margin, own - max(distances, default=-np.inf))
    return Check("nearer to its own network than to any wrong one", margin >= 0.5, round(margin, 2), 0.5, "dB")


def check_answers(output: Array, reference: Array, tolerance: Tolerance, where: str) -> Check:
    """Top-1 agreement with the network over images [N, C], with its 95 % Wilson interval in the name."""
    same = int((output.argmax(1) == reference.argmax(1)).sum())
    interval = binomtest(same, len(output)).proportion_ci(method="wilson")
    share = 100 * same / len(output)
    name = (
        f"{where}: same first answer ({same} of {len(output)}, 95% {100 * interval.low:.1f}-{100 * interval.high:.1f}%)"
    )
    return Check(name, share >= tolerance.agreement, round(share, 2), tolerance.agreement, "%")


def check_accuracy(score: float, reference: float, tolerance: Tolerance, what: str) -> Check:
    """A score in percent against the network's own on the same labelled images."""
    kept = 100 * score / reference if reference else 0.0
    name = f"{what} {score:.2f}% against the network's {reference:.2f}%: share kept"
    return Check(name, kept >= tolerance.accuracy, round(kept, 2), tolerance.accuracy, "%")


def check_structure(
    structure: Structure, precision: str, allowed: frozenset[str], expected: Mapping[str, Any]
) -> list[Check]:
    """Is the file what its name says, judged from its content?

    expected: convolutions (how many), dilations ([rows, columns] of each dilated one, sorted), kept_float (how many
    convolutions were asked to stay in float), foreign (whether the network is not ours: then any operator may occur,
    and weights that belong to no layer make products of their own).
    """
    foreign = expected.get("foreign", False)
    unknown = sorted(set(structure.operators) - allowed)
    listed = foreign or not unknown, ", ".join(unknown) or "all", "any, not our network" if foreign else "all"
    split = sorted(
        name for name in structure.operators if "SPACE_TO_BATCH" in name.upper().replace("TOBATCH", "_TO_BATCH")
    )
    checks = [
        Check("operators on the allow-list", *listed),
        Check("dilated convolutions kept whole", not split, ", ".join(split) or "yes", "yes"),
    ]
    if structure.dilations or expected["dilations"]:
        same = sorted(structure.dilations) == sorted(expected["dilations"])
        figure = f"{len(structure.dilations)} of {len(expected['dilations'])}"
        checks.append(Check("dilations as in the network", same, figure if same else str(structure.dilations), "all"))
    total, wanted_total = sum(structure.convolutions.values()), expected["convolutions"]
    whole = total == wanted_total or (foreign and total > wanted_total)
    checks.append(Check("as many convolutions as the folded network", whole, total, wanted_total))
    if precision == "int8":
        found = structure.convolutions.get("int8", 0) + structure.convolutions.get("uint8", 0)
        least = total - expected["kept_float"]
        checks.append(Check("convolutions with int8 weights", total > 0 and found >= least > 0, found, least))
    else:
        wanted = {"fp32": "float32", "fp16": "float16"}[precision]
        found = structure.convolutions.get(wanted, 0)
        checks.append(Check(f"convolutions with {wanted} weights", found == total > 0, found, total))
    return checks
