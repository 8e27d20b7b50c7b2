"""What is left of each subject's accuracy under attack? Runs are attacked themselves, bundles get a run's images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from rapidnet.config import RobustnessConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.errors import UserError
from rapidnet.evaluation.metrics import compare_pairs
from rapidnet.models import reparameterize
from rapidnet.robustness.attacks import (
    Attack,
    FromPixels,
    add_noise,
    attack_in_batches,
    build_autoattack,
    build_pgd,
    fgsm,
)
from rapidnet.robustness.cells import describe_share
from rapidnet.robustness.labelled import Pictures
from rapidnet.robustness.sanity import check_sanity, count_work
from rapidnet.robustness.subjects import Subject
from rapidnet.runtimes.network import Array

ATTACK_BATCH = 32


def measure_attacks(
    config: RobustnessConfig, subjects: Sequence[Subject], pictures: Pictures, log: BadSampleLog, console: Console
) -> list[dict[str, Any]]:
    """For each subject, a run among them: images, made_on, a line for each attack and epsilon, the sanity checks.

    Raises:
        UserError: no image that can be read, or none that a run names rightly.
    """
    makers = [subject for subject in subjects if subject.trained]
    attacks = build_attacks(config, len(subjects[0].classes))
    pixels, labels = read_all(pictures, subjects[0], config.attack_images, log)
    images, truth = torch.from_numpy(pixels), torch.from_numpy(labels)
    made: dict[str, dict[tuple[str, int], Array]] = {}
    checks: dict[str, list[dict[str, Any]]] = {}
    with Progress(console=console, transient=True) as bar:
        total = len(makers) * len(images) * (len(attacks) * len(config.epsilon_numbers) + count_work())
        task = bar.add_task("attacking", total=total)

        def advance(count: int) -> None:
            bar.advance(task, count)

        for maker in makers:
            network = build_network(maker)
            made[maker.name] = {
                (name, epsilon): attack_in_batches(
                    attack, network, images, truth, epsilon, config.seed, ATTACK_BATCH, advance
                ).numpy()
                for name, attack in attacks.items()
                for epsilon in config.epsilon_numbers
            }
            right = torch.from_numpy(maker.predict(pixels).argmax(1)) == truth
            if not right.any():
                raise UserError(f"{maker.name} names no picture rightly, so that there is nothing to attack")
            found = check_sanity(
                network, images[right], truth[right], config.epsilon_numbers[-1], config.seed, ATTACK_BATCH, advance
            )
            checks[maker.name] = [check.to_dict() for check in found]
    return describe(subjects, made, checks, pixels, labels)


def describe(
    subjects: Sequence[Subject], made: dict[str, dict[tuple[str, int], Array]], checks: dict[str, list[dict[str, Any]]],
    pixels: Array, labels: Array,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every subject's answers to the images made on it, or on the first run."""
    results: list[dict[str, Any]] = []
    first: dict[tuple[str, int], Array] = {}
    for number, subject in enumerate(subjects):
        source = subject.name if subject.name in made else next(iter(made))
        right = {("clean", 0): subject.predict(pixels).argmax(1) == labels}
        right |= {key: subject.predict(images).argmax(1) == labels for key, images in made[source].items()}
        first = first or right
        lines = []
        for (name, epsilon), hits in right.items():
            line = {"attack": name, "epsilon": epsilon} | describe_share(hits)
            lines.append(line | (compare_pairs(hits, first[name, epsilon]) if number else {}))
        result: dict[str, Any] = {"images": len(labels), "made_on": source, "attacks": lines}
        result["checks"] = checks[source]
        result["void"] = not all(check["holds"] for check in checks[source])
        results.append(result)
    return results


def build_attacks(config: RobustnessConfig, classes: int) -> dict[str, Attack]:
    """Noise, which the others must beat, and the attacks that were asked for."""
    known = {
        "fgsm": lambda: fgsm,
        "pgd": lambda: build_pgd(config.pgd_steps),
        "autoattack": lambda: build_autoattack(config.seed, classes),
    }
    return {"noise": add_noise} | {name: known[name]() for name in config.attack_names}


def build_network(subject: Subject) -> FromPixels:
    """The run's network, folded as it ships, on the device that the others run on."""
    assert subject.trained is not None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return FromPixels(reparameterize(subject.trained.model), subject.trained.preprocessing).to(device)


def read_all(pictures: Pictures, subject: Subject, most: int, log: BadSampleLog) -> tuple[Array, Array]:
    """(uint8 [N, 3, S, S], labels [N]) of at most so many of the pictures, spread evenly over them."""
    places = np.unique(np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(int))
    chosen = Pictures(pictures.found, [pictures.chosen[place] for place in places])
    batches = list(chosen.read(subject, ATTACK_BATCH, log))
    if not batches:
        raise UserError("not one image could be read; check that the folder holds readable images")
    return np.concatenate([batch.pixels for batch in batches]), np.concatenate([batch.labels for batch in batches])
