"""What do a study's finished runs say of each change?"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from rapidnet.config.experiments import BASELINE
from rapidnet.experiments.statistics import ALPHA, compare_pairs, judge, summarize

Row = dict[str, Any]


def compare_changes(trials: Sequence[Row]) -> list[Row]:
    """A row for the baseline and one for each change that shares a seed with it, in the order in which they come.

    Every change is compared over the seeds that it and the baseline have. q and claim: after correction over the
    changes that are there, so they may still move while a study is unfinished.
    """
    scores: dict[str, dict[int, float]] = {}
    for row in trials:
        scores.setdefault(row["change"], {})[row["seed"]] = row["score"]
    base = scores.get(BASELINE, {})
    shared = {
        change: sorted(set(own) & set(base))
        for change, own in scores.items()
        if change != BASELINE and set(own) & set(base)
    }
    pairs = [
        compare_pairs(
            np.array([scores[change][seed] for seed in seeds]), np.array([base[seed] for seed in seeds]), len(shared)
        )
        for change, seeds in shared.items()
    ]
    rows = [describe(BASELINE, sorted(base), trials)] if base else []
    for (change, seeds), pair, verdict in zip(shared.items(), pairs, judge(pairs), strict=True):
        facts = asdict(pair) | asdict(verdict) | {"changes": len(shared), "alpha": ALPHA}
        rows.append(describe(change, seeds, trials) | facts | {"seeds": seeds})
    return rows


def describe(change: str, seeds: list[int], trials: Sequence[Row]) -> Row:
    """Mean score and what the runs cost."""
    own = [row for row in trials if row["change"] == change and row["seed"] in seeds]
    first = own[0]
    return {
        "study": "ablation comparison", "name": first["name"], "change": change, "measure": first["measure"],
        "seeds": seeds, **summarize(np.array([row["score"] for row in own])),
        "params_m": first["params_m"], "macs_m": first["macs_m"], "image_size": first["image_size"],
        "train_seconds": float(np.mean([row["train_seconds"] for row in own])),
    }  # fmt: skip
