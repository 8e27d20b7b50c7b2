"""Does an artifact pass every check, and does every check fail where it must?"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rapidnet.export.checks import TIGHTER, TOLERANCES, Check, Tolerance, check_answers, check_tensors
from rapidnet.export.golden import Golden
from rapidnet.runtimes.network import Array

Run = Callable[[Array], Array]
"""uint8 RGB [B, 3, H, W] -> rows of the artifact's answers, as a golden reference has them."""


@dataclass(frozen=True)
class Control:
    """A deliberate mistake and whether the checks noticed it: `tripped` names those that failed, as they must.

    `caught` is None where the mistake cannot be made with this network; `why` says so.
    """

    name: str
    caught: bool | None
    tripped: list[str]
    why: str = ""


@dataclass(frozen=True)
class Certificate:
    """All checks and controls of one artifact; it passes if every check does and no control slips through."""

    checks: list[Check]
    controls: list[Control]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks) and all(item.caught is not False for item in self.controls)

    @property
    def mendable(self) -> bool:
        """Whether layers in float can mend what failed: numbers; not a file's structure, nor checks that pass and do
        not notice a mistake, which numbers nearer still will not make them."""
        failed = [check for check in self.checks if not check.passed]
        return bool(failed) and all(check.numeric for check in failed)

    @property
    def failures(self) -> list[str]:
        """Each failed check and each control that slipped through, in words."""
        failed = [
            f"{c.name}: {c.figure} (bound {c.bound} {c.unit})".replace(" )", ")") for c in self.checks if not c.passed
        ]
        return failed + [f"the checks do not notice {c.name}" for c in self.controls if c.caught is False]

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": "passed" if self.passed else "failed",
            "checks": [check.to_dict() for check in self.checks],
            "negative_controls": [vars(control) for control in self.controls],
        }


def certify(
    run: Run, golden: Golden, tolerance: Tolerance, more: list[Check], moved: Array | None = None
) -> Certificate:
    """Run the artifact on the golden inputs, judge it, and judge each mistake by the same checks.

    more: checks made elsewhere (task, structure) that join the certificate. moved: rows of the same answers with the
    classes moved on by one, where classes are not simply the columns.
    """
    output = run(golden.pixels)
    checks = judge(output, golden, golden.reference, tolerance)
    moved = np.roll(output, 1, axis=1) if moved is None else moved
    return Certificate(checks + more, run_controls(run, output, moved, golden, tolerance))


def judge(output: Array, golden: Golden, reference: Array, tolerance: Tolerance) -> list[Check]:
    """The checks of rows [N, num_classes], or those of several outputs, against `reference` on the golden inputs."""
    real = golden.kinds == "real"
    if output.shape != reference.shape or not np.isfinite(output).all():
        shape = f"{list(output.shape)}, {int((~np.isfinite(output)).sum())} not finite"
        return [Check("shape and finite values", False, shape, str(list(reference.shape)))]
    if golden.places:
        return check_tensors(output, golden, reference, tolerance)
    # Among a few images one near-tie weighs too much: one may differ, whatever the share.
    few = replace(tolerance, agreement=min(tolerance.agreement, round(100 * (1 - 1 / int(real.sum())), 2) - 0.01))
    return [
        *check_tensors(output, golden, reference, tolerance),
        check_answers(output[real], reference[real], few, "golden images"),
    ]


def tighten(output: Array, golden: Golden, tolerance: Tolerance) -> Tolerance:
    """The tolerance 100 times as strict; where a small network meets even that, fp32's own, then that 100 times so."""
    exact = TOLERANCES["fp32"]
    for strict in (tolerance.tighten(TIGHTER), exact):
        if not all(check.passed for check in judge(output, golden, golden.reference, strict)):
            return strict
    return exact.tighten(TIGHTER)


def run_controls(run: Run, output: Array, moved: Array, golden: Golden, tolerance: Tolerance) -> list[Control]:
    """Make each mistake and name the checks that fail."""
    attempts: dict[str, list[Check]] = {
        "blue and red exchanged": judge(run(golden.pixels[:, ::-1]), golden, golden.reference, tolerance),
        "shuffled labels": judge(moved, golden, golden.reference, tolerance),
        f"a {TIGHTER}x tighter tolerance": judge(output, golden, golden.reference, tighten(output, golden, tolerance)),
    }
    for name, reference in golden.wrong.items():
        attempts[name] = judge(output, golden, reference, tolerance)
    controls = []
    for name, checks in attempts.items():
        if name in golden.absent:
            continue
        tripped = [check.name for check in checks if not check.passed]
        missed = "" if tripped or tolerance.controls else "a network without training cannot show it in int8"
        controls.append(Control(name, None if missed else bool(tripped), tripped, missed))
    return controls + [Control(name, None, [], why) for name, why in golden.absent.items()]
