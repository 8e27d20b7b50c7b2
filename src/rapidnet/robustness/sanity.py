"""Do the attacks say anything about this network, or are its gradients masked and the numbers void?

Sources: Athalye et al., Obfuscated Gradients Give a False Sense of Security, ICML 2018; Carlini et al., On Evaluating
Adversarial Robustness, 2019, Sec. 5.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidnet.robustness.attacks import (
    Attack,
    add_noise,
    attack_in_batches,
    build_pgd,
    fgsm,
    find_slope,
)

STEPS = (1, 5, 20, 40)
UNBOUNDED = 255
UNBOUNDED_MOST = 1.0
"""Accuracy in percent that may be left where an attack may paint any picture."""
SLACK = 1.0
"""Percentage points, and at least one picture, that chance may give a stronger attack's accuracy."""


@dataclass(frozen=True)
class Check:
    """One check and what it found, in words."""

    name: str
    holds: bool
    found: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_sanity(
    network: nn.Module, images: Tensor, labels: Tensor, epsilon: int, seed: int, batch_size: int,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Check]:  # fmt: skip
    """The checks at one epsilon (of 255) on uint8 images that the network names rightly; void unless all hold."""

    def score(attack: Attack, size: int) -> float:
        made = attack_in_batches(attack, network, images, labels, size, seed, batch_size, advance)
        return measure(network, made, labels, batch_size)

    slack = max(SLACK, 100 / len(images))
    by_steps = {steps: score(build_pgd(steps), epsilon) for steps in STEPS}
    scores = list(by_steps.values())
    single, noise = score(fgsm, epsilon), score(add_noise, epsilon)
    # From the picture itself: noise as strong as this would hide that the gradient leads nowhere.
    free = score(build_pgd(STEPS[-1], random_start=False), UNBOUNDED)
    flat = 100 * count_flat(network, images, labels, batch_size) / len(images)
    rises = [later for at, later in enumerate(scores) if at and later > min(scores[:at]) + slack]
    listed = ", ".join(f"{steps}: {value:.1f} %" for steps, value in by_steps.items())
    return [
        Check("gradients are not zero", flat <= slack, f"{flat:.1f} % of the pictures have none"),
        Check("more steps of PGD never raise accuracy", not rises, listed),
        Check("PGD is at least as strong as one step", scores[-1] <= single + slack, f"FGSM {single:.1f} %"),
        Check(
            "the attack is stronger than noise", scores[-1] < noise or noise == 0,
            f"noise of the same size {noise:.1f} %",
        ),
        Check("free to paint anything, PGD wins", free <= UNBOUNDED_MOST, f"{free:.1f} % left, at most 1 %"),
    ]  # fmt: skip


def count_work() -> int:
    """How many attacked batches the checks ask for, for a bar."""
    return len(STEPS) + 3


def measure(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> float:
    """Accuracy in percent on uint8 images."""
    device = next(network.buffers()).device
    right = 0
    with torch.inference_mode():
        for some, their in zip(images.split(batch_size), labels.split(batch_size), strict=True):
            right += int((network(some.to(device) / 255).argmax(1) == their.to(device)).sum())
    return 100 * right / len(images)


def count_flat(network: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> int:
    """The images at which the loss has no slope at all."""
    device, count = next(network.buffers()).device, 0
    for some, their in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        slope, _ = find_slope(network, some.to(device) / 255, their.to(device))
        count += int((slope.flatten(1) == 0).all(1).sum())
    return count
