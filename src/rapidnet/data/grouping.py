"""Which images belong together, and how is a share of them held out without taking a group apart?

Pictures of one patient, one place or one video are nearly the same picture: split apart, they let a network remember
instead of recognise, and the validation flatters.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rapidnet.errors import UserError

GroupOf = Callable[[str], str]
"""The group of an image, from its path relative to the data."""


def name_below(path: str, root: str | Path) -> str:
    """A path relative to `root`, with forward slashes; unchanged if it does not lie below it."""
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return path


def compile_groups(pattern: str) -> GroupOf:
    """What the first capture group of a regular expression finds in a path.

    Raises:
        UserError: it does not compile or captures nothing; on use, a path in which it finds nothing.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-regex '{pattern}' is not a regular expression: {error}; mend it") from error
    if not regex.groups:
        raise UserError(f"--group-regex '{pattern}' captures nothing; put the part that names the group in parentheses")

    def group_of(name: str) -> str:
        found = regex.search(name)
        # An image left without a group could be anybody's: guessing would bring back the leak.
        if found is None or found[1] is None:
            raise UserError(f"--group-regex '{pattern}' finds no group in {name}; widen it or --exclude such images")
        return found[1]

    return group_of


def refuse_leak(train: Sequence[str], val: Sequence[str], group_of: GroupOf) -> None:
    """Raise UserError, naming one group, if names in train/ and val/ share a group."""
    seen = {group_of(name): name for name in train}
    shared = sorted((group, name) for name in val if (group := group_of(name)) in seen)
    if shared:
        group, name = shared[0]
        count = len({group for group, _ in shared})
        raise UserError(
            f"group '{group}' is in train ({seen[group]}) and in val ({name})"
            f"{f', and {count - 1} more groups are in both' if count > 1 else ''}; move each to one side"
        )


def hold_out_groups(
    names: Sequence[str],
    labels: Sequence[Sequence[int]],
    classes: Sequence[str],
    val_fraction: float,
    seed: int,
    group_of: GroupOf,
) -> NDArray[np.bool_]:
    """Which images [N] to hold out, whole groups at a time and about `val_fraction` of each class.

    Args:
        names: of the N images, relative to the data; labels: the class indices of each.
    Raises:
        UserError: a class would be left without images to train on or to validate on.
    """
    groups = [group_of(name) for name in names]
    known = sorted(set(groups))
    index = {group: i for i, group in enumerate(known)}
    member = np.array([index[group] for group in groups])
    counts = np.zeros((len(known), len(classes)), dtype=np.int64)
    for group, own in zip(member, labels, strict=True):
        counts[group, list(own)] += 1
    chosen = stratify(counts, np.bincount(member), val_fraction, seed)
    for label, class_name in enumerate(classes):
        holders = counts[:, label] > 0
        if chosen[holders].all() or not chosen[holders].any():
            side = "train" if chosen[holders].all() else "validate"
            raise UserError(
                f"class '{class_name}' is left without images to {side} on, its {int(holders.sum())} groups "
                f"(such as '{known[int(holders.argmax())]}') being kept whole; add groups that hold it, "
                "change --val-fraction or give a val/"
            )
    held: NDArray[np.bool_] = chosen[member]
    return held


def stratify(counts: NDArray[np.int64], sizes: NDArray[np.int64], val_fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose units (groups or single images) for validation so that each class keeps its share on both sides.

    The rarest class is dealt out first, its largest units before its smaller ones, each to the side that still wants
    more of the class; ties go to the side that wants more images. `mend` then sees to classes with too few units.
    sklearn's StratifiedGroupKFold knows neither several classes for one image nor shares other than 1/k.

    Source: Sechidis, Tsoumakas, Vlahavas, On the stratification of multi-label data, ECML PKDD 2011, Algorithm 1.

    Args:
        counts: [U, C], how many images of each class each unit holds; sizes: [U], its images.
    """
    total = counts.sum(0)
    want_val = np.where(total > 0, np.maximum(val_fraction * total, 1.0), 0.0)
    wanted = np.stack([total - want_val, want_val])
    room = np.array([1 - val_fraction, val_fraction]) * sizes.sum()
    side = np.full(len(counts), -1)
    shuffled = np.random.default_rng([seed, 17]).permutation(len(counts))

    def deal(unit: int, to: int) -> None:
        side[unit] = to
        wanted[to] -= counts[unit]
        room[to] -= sizes[unit]

    while (open_units := side < 0).any():
        left = counts[open_units].sum(0)
        if not left.any():
            # Images without any label only fill up what room there is.
            for unit in shuffled[open_units[shuffled]]:
                deal(unit, int(room[1] > room[0]))
            break
        label = int(np.where(left > 0, left, left.max() + 1).argmin())
        units = shuffled[open_units[shuffled] & (counts[shuffled, label] > 0)]
        for unit in units[np.argsort(-counts[units, label], kind="stable")]:
            deal(unit, int((wanted[1, label], room[1]) > (wanted[0, label], room[0])))
    mend(side, counts)
    chosen: NDArray[np.bool_] = side == 1
    return chosen


def mend(side: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Give a class that has units on one side only its smallest one on the other, where no class is hurt by that.

    Args:
        side: [U], 0 to train and 1 to validate, changed in place; counts: [U, C].
    """
    for missing in (1, 0):
        for label in range(counts.shape[1]):
            holders = np.flatnonzero(counts[:, label])
            if len(holders) < 2 or (side[holders] == missing).any():
                continue
            for unit in holders[counts[holders, label].argsort(kind="stable")]:
                others = (side != missing) & (np.arange(len(side)) != unit)
                if (counts[others][:, counts[unit] > 0] > 0).any(0).all():
                    side[unit] = missing
                    break
