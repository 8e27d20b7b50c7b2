"""How are pictures made that a network gets wrong? FGSM, PGD and AutoAttack, within an L-infinity ball.

Attacks work on pixels in [0, 1] with the normalisation inside the network, and give back whole pixel values: what a
bundle, or a file, can hold.

Sources: Goodfellow et al., ICLR 2015 (FGSM); Madry et al., ICLR 2018 (PGD); Croce & Hein, ICML 2020 (AutoAttack).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError

AUTO_WITH_TARGETS = ("apgd-ce", "apgd-t", "fab-t", "square")
AUTO_PLAIN = ("apgd-ce", "fab", "square")
TARGETED_FROM = 10
"""AutoAttack's targeted attacks try nine wrong classes."""


class FromPixels(nn.Module):
    """A network that takes pixels in [0, 1]: [B, 3, S, S] -> logits [B, C]; eval mode, its weights left alone."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model((images - self.mean) / self.std)
        return logits


Attack = Callable[[nn.Module, Tensor, Tensor, int, torch.Generator], Tensor]
"""(network from pixels, uint8 [B, 3, S, S], labels, epsilon of 255, randomness) -> uint8 of the same shape."""


def fgsm(network: nn.Module, images: Tensor, labels: Tensor, epsilon: int, generator: torch.Generator) -> Tensor:
    """One step along the sign of the gradient."""
    step = epsilon * find_slope(network, images / 255, labels)[0].sign()
    return (images + step).clamp(0, 255).to(torch.uint8)


def build_pgd(steps: int, random_start: bool = True) -> Attack:
    """So many steps of 2.5 epsilon / steps, each put back into the ball; of each picture the point of largest loss."""

    def pgd(network: nn.Module, images: Tensor, labels: Tensor, epsilon: int, generator: torch.Generator) -> Tensor:
        clean = images / 255
        low, high = (clean - epsilon / 255).clamp(0, 1), (clean + epsilon / 255).clamp(0, 1)
        at = clean
        if random_start:
            noise = torch.rand(clean.shape, generator=generator).to(clean.device)
            at = (clean + (2 * noise - 1) * epsilon / 255).clamp(0, 1)
        best, most = at, torch.full((len(labels),), -torch.inf, device=clean.device)
        for step in range(steps + 1):
            slope, losses = find_slope(network, at, labels)
            better = losses > most
            best, most = torch.where(better.view(-1, 1, 1, 1), at, best), torch.where(better, losses, most)
            if step < steps:
                at = torch.clamp(at + 2.5 * epsilon / 255 / steps * slope.sign(), low, high)
        return (best * 255).round().to(torch.uint8)

    return pgd


def add_noise(network: nn.Module, images: Tensor, labels: Tensor, epsilon: int, generator: torch.Generator) -> Tensor:
    """No attack: every value moved by epsilon, up or down by chance. What an attack must be stronger than."""
    signs = torch.randint(0, 2, images.shape, generator=generator).to(images.device) * 2 - 1
    return (images + epsilon * signs).clamp(0, 255).to(torch.uint8)


def build_autoattack(seed: int, classes: int) -> Attack:
    """AutoAttack's standard set, untargeted below ten classes.

    Raises:
        UserError: the package is not installed.
    """
    try:
        from pyautoattack import AutoAttack
    except ImportError:
        raise UserError(
            "AutoAttack was not run: it needs one more package; pip install 'rapidnet[attacks]', or leave it out"
        ) from None

    def attack(network: nn.Module, images: Tensor, labels: Tensor, epsilon: int, generator: torch.Generator) -> Tensor:
        chosen = AUTO_WITH_TARGETS if classes >= TARGETED_FROM else AUTO_PLAIN
        suite = AutoAttack(
            network, attacks=list(chosen), version="custom", eps=epsilon / 255, seed=seed, device=images.device
        )
        made = suite.run_standard_evaluation(images / 255, labels, batch_size=len(images))[0]
        return (made * 255).round().to(torch.uint8)

    return attack


def find_slope(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of the loss in the pixels, and the loss [B] itself, in nats; not a number counts as no slope."""
    at = images.detach().clone().requires_grad_(True)
    losses = cross_entropy(network(at), labels, reduction="none")
    (slope,) = torch.autograd.grad(losses.sum(), at)
    return slope.nan_to_num(0, 0, 0), losses.detach()


def attack_in_batches(
    attack: Attack, network: nn.Module, images: Tensor, labels: Tensor, epsilon: int, seed: int, batch_size: int,
    advance: Callable[[int], None] = lambda count: None,
) -> Tensor:  # fmt: skip
    """Attack all images, a batch at a time, on the network's device; the result is on the images' own."""
    device = next(network.buffers()).device
    generator, made = torch.Generator().manual_seed(seed), []
    for some, their in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        made.append(attack(network, some.to(device), their.to(device), epsilon, generator).to(images.device))
        advance(len(some))
    return torch.cat(made)
