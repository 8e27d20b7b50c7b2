"""How does a GELU stay in eight bits on a runtime that has no eight-bit GELU?

Bytes may be read with another scale than they were written with, and what falls outside a range saturates: both cost
nothing. Three forms follow, each a product of two readings of the same bytes, the cheapest tried first and taken where
it is within one step of the exact GELU for all 256 inputs; where none is, the GELU is computed in float.

parabola: (x - 0.15) (clip(x, -1.79, 1.6) + 1.99) 0.28 + 0.09 of x from -1.99, at least -0.1325: within 0.038 of GELU.
product: (max(x, -0.65) - 0.21) (clip(x, -2, 1.73) + 2.93) 0.217 + 0.151, at least -0.143: within 0.027.
sigmoid: x min(1, (sigmoid(1.65 x) - 0.012) / 0.977), within 0.0074: the gate overshoots one, is clipped by its bytes'
range and read from an offset. Runtimes look an eight-bit sigmoid up in a table. (x sigmoid(1.702 x) errs by 0.020.)

Minimum, maximum and clip of bytes cost almost nothing beside the product. Constants are rounded to steps, then moved
until the 256 outputs fit best.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import erf, expit

from rapidnet.export.onnx_ranges import choose_range, to_uint8
from rapidnet.runtimes.network import Array

CODES = np.arange(256, dtype=np.uint8)
STEEPNESS = np.float32(1.65)
"""Of the sigmoid form."""


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

    def find_code(self, value: float) -> int:
        return int(np.clip(round(value / float(self.scale)) + self.zero, 0, 255))


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


@dataclass(frozen=True)
class Recipe:
    """What a form asks for before it is fitted to a range.

    floors: where the range of x may begin, tried in turn; GELU counts as constant below. low: where the answer's range
    begins. constants, of a product alone: both factors' zeros, the least x of the first (lower than any floor:
    none), the bounds of the second, what is added and by what the second factor is multiplied.
    """

    floors: tuple[float, ...]
    low: float
    constants: tuple[float, float, float, float, float, float, float] | None = None


RECIPES = {
    "parabola": Recipe((-1.99, -1.95, -2.03, -1.91, -2.07), -0.1325, (0.15, -1.99, -9, -1.81, 1.6, 0.09, 0.277)),
    "product": Recipe((-2.925, -2.85, -3.0, -2.8), -0.1435, (0.2125, -2.925, -0.652, -1.995, 1.732, 0.1507, 0.2171)),
    "sigmoid": Recipe((-2.6,), -0.17),
}
"""Cheapest first."""


@dataclass(frozen=True)
class Choice:
    """A form's name, the form, and how x and the answer are written."""

    kind: str
    form: Form
    given: Step
    made: Step


def choose_gelu(given: Array, made: Array, kinds: tuple[str, ...] = tuple(RECIPES)) -> Choice | None:
    """The cheapest form within one step of the exact GELU for all 256 inputs, if there is one.

    given, made: values of x and of its GELU on the calibration images, any shape.
    """
    for kind in kinds:
        recipe = RECIPES[kind]
        for floor in recipe.floors:
            read = Step.covering(floor, choose_range(given, floor)[1])
            write = Step.covering(recipe.low, choose_range(made)[1])
            form = fit_product(recipe, read, write, given) if recipe.constants else build_sigmoid(read, write)
            if measure_steps(form, read, write) <= 1:
                return Choice(kind, form, read, write)
    return None


def gelu(values: Array) -> Array:
    """Exact, in float64."""
    exact: Array = values.astype(np.float64) * 0.5 * (1 + erf(values / np.sqrt(2)))
    return exact


def measure_steps(form: Form, given: Step, made: Step) -> int:
    """The largest distance, over all 256 codes and what saturates, from the byte the exact GELU would be written as."""
    return count_steps(form.tabulate().astype(int), made.write(gelu(given.read(CODES))).astype(int), made)


def count_steps(answers: Array, exact: Array, made: Step) -> int:
    # The lowest code stands for all x below it, where GELU goes on to zero.
    return max(int(np.abs(answers - exact).max()), abs(int(answers[0]) - made.zero))


def build_sigmoid(given: Step, made: Step) -> Form:
    """The same shape whatever the values."""
    return Form(given, Step(np.float32(0.9995 / 252), 3), made, steep=Step(given.scale * STEEPNESS, given.zero))


def fit_product(recipe: Recipe, given: Step, made: Step, values: Array) -> Form:
    """The product that fits best where `values` of x lie, found by moving its constants from their rounded ideals."""
    assert recipe.constants is not None
    first, second, least, low, high, added, slope = recipe.constants
    # A first factor that is not to be clipped stays so: the operator would cost more than it mends.
    places = set(range(7)) - ({2} if given.find_code(least) == 0 else set())

    def write_form(point: tuple[int, ...]) -> Form:
        scale = np.float32(given.scale * slope * (1 + 0.004 * point[6]))
        factor = Form(
            Step(given.scale, point[0]), Step(scale, point[1]), made, point[2], (point[3], max(point[3], point[4]))
        )
        return replace(factor, write=Step(made.scale, point[5]))

    # Whole numbers: a sum of fractions differs between processors in its last digit, and that would pick other forms.
    ideal = np.minimum(gelu(given.read(CODES)) / made.scale + made.zero, 255)
    ideal[0] = (ideal[0] + made.zero) / 2
    ideal = np.rint(ideal * 64).astype(np.int64)
    exact = made.write(gelu(given.read(CODES))).astype(int)

    # Every code counts a little: what the calibration images do not show may come.
    weights = np.bincount(given.write(values).ravel(), minlength=256) * 1000 + values.size

    def judge(point: tuple[int, ...]) -> tuple[int, int]:
        answers = write_form(point).tabulate().astype(int)
        steps = count_steps(answers, exact, made)
        return max(steps, 1), int((weights * np.square(answers * 64 - ideal)).sum())

    codes = [given.find_code(value) for value in (first, second, least, low, high)]
    point: tuple[int, ...] = (*codes, made.find_code(added), 0)
    changes = [change for change in CHANGES if all(place in places for place, _ in change)]
    best = judge(point)
    while True:
        score, nearest = min((judge(moved), moved) for moved in sorted({move(point, change) for change in changes}))
        if score >= best:
            return write_form(point)
        best, point = score, nearest


def move(point: tuple[int, ...], changes: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """The point with some constants changed, within their bounds: codes 0 to 255, the slope's steps -20 to 20."""
    moved = list(point)
    for place, change in changes:
        low, high = (0, 255) if place < 6 else (-20, 20)
        moved[place] = min(high, max(low, moved[place] + change))
    return tuple(moved)


CHANGES = [((i, d),) for i in range(7) for d in (-2, -1, 1, 2)] + [
    ((i, d), (j, e)) for i in range(7) for j in range(i) for d, e in product((-1, 1), repeat=2)
]
"""What is tried from each point: one constant by up to two, or two by one."""
