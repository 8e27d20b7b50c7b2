"""How far does a network fall under corruption, measured against another one's fall?

Source: Hendrycks & Dietterich, ICLR 2019, Sec. 4.2: errors of a kind are summed over severities and divided by those
of the reference; the mean over kinds is the mCE. The relative mCE does so with what is lost from the clean error.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rapidnet.robustness.cells import CLEAN, Key

ALEXNET_CLEAN = 43.5
ALEXNET = {
    "gaussian_noise": 88.6428, "shot_noise": 89.4468, "impulse_noise": 92.2640, "defocus_blur": 81.9880,
    "glass_blur": 82.6268, "motion_blur": 78.5948, "zoom_blur": 79.8360, "snow": 86.6816, "frost": 82.6572,
    "fog": 81.9324, "brightness": 56.4592, "contrast": 85.3204, "elastic_transform": 64.6056, "pixelate": 71.7840,
    "jpeg_compression": 60.6500,
}  # fmt: skip
"""AlexNet's errors on the published ImageNet-C, mean over severities, in percent, as its authors state them. They say
nothing of other pictures: our own corruptions need a reference that was measured on them."""


def compute_corruption_error(
    errors: Mapping[Key, float], reference: Mapping[Key, float], kinds: Sequence[str], severities: Sequence[int]
) -> dict[str, Any]:
    """Corruption errors in percent of the reference's.

    Args:
        errors, reference: error in percent by (kind, severity), CLEAN among them, the same pictures in both.
    Returns:
        ce, relative_ce: by kind, None where the reference makes no error or loses nothing; mce, relative_mce: their
        means, None if one of them is.
    """
    ce, relative = dict[str, float | None](), dict[str, float | None]()
    for kind in kinds:
        ours, theirs = (sum(table[kind, severity] for severity in severities) for table in (errors, reference))
        lost, theirs_lost = (
            total - len(severities) * table[CLEAN] for total, table in ((ours, errors), (theirs, reference))
        )
        ce[kind] = 100 * ours / theirs if theirs > 0 else None
        relative[kind] = 100 * lost / theirs_lost if theirs_lost > 0 and not math.isnan(lost) else None
    return {"ce": ce, "relative_ce": relative, "mce": _mean(ce), "relative_mce": _mean(relative)}


def build_alexnet() -> dict[Key, float]:
    """AlexNet's errors in the form of `compute_corruption_error`, its mean at every severity."""
    table = {(kind, severity): error for kind, error in ALEXNET.items() for severity in range(1, 6)}
    return table | {CLEAN: ALEXNET_CLEAN}


def _mean(values: Mapping[str, float | None]) -> float | None:
    known = [value for value in values.values() if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
