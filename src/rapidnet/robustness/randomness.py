"""Where does the randomness of a corruption come from, the same bits on every machine and with every library?

Bits come from SHAKE-256 of a key, and no floating-point function meets them: normal and Poisson numbers are read from
tables of integers.
"""

import hashlib
from decimal import Context, Decimal
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
ONE = 1 << 16
"""One, in the fixed-point numbers of this package."""
NORMAL_BITS = 16
POISSON_BITS = 32


class Stream:
    """An endless sequence of random integers that follows from a key alone.

    Args:
        key: what names it, such as seed, image, kind and severity.
    """

    def __init__(self, *key: int | str) -> None:
        self.key, self.drawn = " ".join(map(str, key)), 0

    def draw_bits(self, bits: int, *shape: int) -> Integers:
        """Integers of `shape` in [0, 2**bits); `bits` is 16 or 32."""
        count = int(np.prod(shape, dtype=np.int64))
        digest = hashlib.shake_256(f"{self.key} {self.drawn}".encode()).digest(count * bits // 8)
        self.drawn += 1
        return np.frombuffer(digest, f"<u{bits // 8}").astype(np.int64).reshape(shape)

    def draw_below(self, bound: int, *shape: int) -> Integers:
        """Integers in [0, bound), `bound` at most 2**31: equally likely to within bound / 2**32."""
        return self.draw_bits(32, *shape) * bound >> 32

    def draw_normal(self, *shape: int) -> Integers:
        """Normal numbers of mean 0, in units of 1 / ONE, one of 2**16 equally likely quantiles."""
        return tabulate_normal()[self.draw_bits(NORMAL_BITS, *shape)]

    def draw_poisson(self, means: tuple[Decimal, ...], which: Integers) -> Integers:
        """Poisson numbers of the mean `means[which]`, in the shape of `which`."""
        steps, starts = tabulate_poisson(means)
        keys = (which << POISSON_BITS) + self.draw_bits(POISSON_BITS, *which.shape)
        return np.searchsorted(steps, keys, side="right") - starts[which]


@cache
def tabulate_normal() -> Integers:
    """The quantiles (k + 0.5) / 2**16 of the normal distribution, in units of 1 / ONE."""
    half, normal = 1 << (NORMAL_BITS - 1), NormalDist()
    upper = [round(normal.inv_cdf(0.5 + (k + 0.5) / (2 * half)) * ONE) for k in range(half)]
    return np.array([-value for value in reversed(upper)] + upper, np.int64)


@cache
def tabulate_poisson(means: tuple[Decimal, ...]) -> tuple[Integers, Integers]:
    """The distribution functions of several means behind one another, in units of 2**-32, and where each starts.

    Decimal numbers, whose exponential is rounded correctly by definition, make them the same everywhere.
    """
    context, steps, starts = Context(prec=30), list[int](), list[int]()
    whole = 1 << POISSON_BITS
    for row, mean in enumerate(means):
        starts.append(len(steps))
        share = context.exp(-mean)
        below, count = share, 0
        while (reached := int(context.multiply(below, Decimal(whole)))) < whole - 1 and count < 4 * mean + 60:
            steps.append((row << POISSON_BITS) + reached)
            count += 1
            share = context.divide(context.multiply(share, mean), Decimal(count))
            below = context.add(below, share)
    return np.array(steps, np.int64), np.array(starts, np.int64)
