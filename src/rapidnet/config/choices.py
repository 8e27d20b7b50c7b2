"""Which choices do several commands share, and how is a wrong value refused?"""

from typing import Literal

from rapidnet.errors import UserError

ALONE = "alone"
"""In the metadata of a text option's field: the value of the option when nothing follows it."""
Weights = Literal["best", "ema", "raw"]
BadSamples = Literal["error", "skip", "quarantine"]
DenseTask = Literal["detect", "instance", "semantic"]
"""Boxes; boxes with a mask each; a class for each pixel."""


def check(condition: bool, message: str) -> None:
    """Raise UserError with `message` unless `condition` holds."""
    if not condition:
        raise UserError(message)
