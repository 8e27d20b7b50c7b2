"""How would a Mac run a package? Without a plan of where, as before macOS 14.4."""

from enum import Enum
from typing import Any

import numpy as np


class MLModel:
    def __init__(self, path: str, compute_units: Enum) -> None:
        from rapidnet.runtimes.mil_program import read_program

        self.program, self.compute_units = read_program(path), compute_units

    def predict(self, given: dict[str, Any]) -> dict[str, Any]:
        from rapidnet.runtimes.mil_interpreter import interpret

        (value,) = given.values()
        images = np.asarray(value).transpose(2, 0, 1)[None] if self.program.image else value
        return interpret(self.program, images)
