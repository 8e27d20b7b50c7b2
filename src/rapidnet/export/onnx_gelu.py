"""How does a GELU stay in eight bits on a runtime that has no eight-bit GELU?

Bytes may be read with another scale than they were written with: that costs nothing. Two forms follow, both a product
of two readings of the same bytes, the cheaper one tried first and taken where it is within one step of the exact GELU
for all 256 inputs; where neither is, the GELU is computed in float.

product: (max(x, -0.65) - 0.21) (clip(x, -2, 1.73) + 2.93) 0.217 + 0.151, at least -0.143: within 0.027 of GELU. Maximum
and clip of bytes cost almost nothing. The constants are rounded to steps, then moved until the 256 outputs fit best.
sigmoid: x min(1, (sigmoid(1.65 x) - 0.012) / 0.977), within 0.0074: the gate overshoots one, is clipped by its bytes'
range and read from an offset. Runtimes look an eight-bit sigmoid up in a table. (x sigmoid(1.702 x) errs by 0.020.)
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import erf, expit

from rapidnet.export.onnx_ranges import to_uint8
from rapidnet.runtimes.network import Array

CODES = np.arange(256, dtype=np.uint8)
FLOORS = {"product": -2.925, "sigmoid": -2.6}
"""Where each form wants the range of x to begin; GELU is above -0.0121 below and counts as zero there."""
LOWS = {"product": -0.1435, "sigmoid": -0.17}
"""Where the range of the answer begins."""
STEEPNESS = np.float32(1.65)


@dataclass(frozen=True)
class Step:
    """Scale and zero point of a uint8 tensor."""

    scale: np.float32
    zero: int

    @classmethod
    def covering(cls, low: float, high: float) -> "Step":
        return cls(*to_uint8(low, high))

    def read(self, codes: Array) -> Array:
        values: Array = (codes.astype(np.float32) - np.float32(self.zero)) * self.scale
        return values

    def write(self, values: Array) -> Array:
        return np.clip(np.rint(values / self.scale) + self.zero, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Form:
    """write(first.read(max(q, least)) * second.read(gate(q))) for bytes q.

    gate: clip(q, *bounds), or if `steep` is given, the sigmoid read with `steep` and written with `gate`.
    """

    first: Step
    second: Step
    write: Step
    least: int = 0
    bounds: tuple[int, int] = (0, 255)
    steep: Step | None = None
    gate: Step = Step(np.float32(0.989 / 255), 0)

    def tabulate(self) -> Array:
        """The answer to each code: uint8 [256]."""
        gate = np.clip(CODES, *self.bounds)
        if self.steep is not None:
            gate = self.gate.write(expit(self.steep.read(CODES)))
        return self.write.write(self.first.read(np.maximum(CODES, self.least)) * self.second.read(gate))


def gelu(values: Array) -> Array:
    """Exact, in float64."""
    exact: Array = values.astype(np.float64) * 0.5 * (1 + erf(values / np.sqrt(2)))
    return exact


def measure_steps(form: Form, given: Step, made: Step) -> int:
    """The largest distance, over all 256 codes, from the byte the exact GELU would be written as."""
    exact = made.write(gelu(given.read(CODES)))
    return int(np.abs(form.tabulate().astype(int) - exact.astype(int)).max())


def build_sigmoid(given: Step, made: Step, values: Array) -> Form:
    """The same shape whatever the values."""
    return Form(given, Step(np.float32(0.9995 / 252), 3), made, steep=Step(given.scale * STEEPNESS, given.zero))


def fit_product(given: Step, made: Step, values: Array) -> Form:
    """The product that fits best where `values` of x lie, found by moving its constants from their rounded ideals."""

    def code(value: float) -> int:
        return int(np.clip(round(value / float(given.scale)) + given.zero, 0, 255))

    def write_form(point: tuple[int, ...]) -> Form:
        first, second, least, low, high, zero, slope = point
        scale = np.float32(given.scale * 0.2171 * (1 + 0.004 * slope))
        gate, write = Step(scale, second), Step(made.scale, zero)
        return Form(Step(given.scale, first), gate, write, least, (low, max(low, high)))

    ideal = np.minimum(gelu(given.read(CODES)) / made.scale + made.zero, 255)
    exact = made.write(gelu(given.read(CODES))).astype(int)

    # Every code counts a little: what the calibration images do not show may come.
    weights = np.bincount(given.write(values), minlength=256) / len(values) + 1e-3

    def judge(point: tuple[int, ...]) -> tuple[int, float]:
        answers = write_form(point).tabulate().astype(int)
        steps = int(np.abs(answers - exact).max())
        return max(steps, 1), float((weights * np.square(answers - ideal)).sum())

    zero = made.zero + round(0.1507 / float(made.scale))
    point: tuple[int, ...] = (code(0.2125), code(-2.925), code(-0.652), code(-1.995), code(1.732), zero, 0)
    limits = [255] * 6 + [20]
    best = judge(point)
    while True:
        near = {tuple(move(point, changes, limits)) for changes in CHANGES}
        score, nearest = min((judge(candidate), candidate) for candidate in sorted(near))
        if score >= best:
            return write_form(point)
        best, point = score, nearest


def move(point: tuple[int, ...], changes: tuple[tuple[int, int], ...], limits: list[int]) -> list[int]:
    moved = list(point)
    for place, change in changes:
        moved[place] = min(limits[place], max(0 if place < 6 else -20, moved[place] + change))
    return moved


CHANGES = [((i, d),) for i in range(7) for d in (-2, -1, 1, 2)] + [
    ((i, d), (j, e)) for i in range(7) for j in range(i) for d, e in product((-1, 1), repeat=2)
]
"""What is tried from each point: one constant by up to two, or two by one."""
FORMS = {"product": fit_product, "sigmoid": build_sigmoid}
"""Cheapest first: (scale of x, scale of the answer, values of x) -> the form."""
