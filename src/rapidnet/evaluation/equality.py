"""Do two networks give the same answers?"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Equality:
    """How far apart two networks' logits are on the same inputs.

    max_abs: largest absolute difference; max_rel: that divided by the reference's largest absolute logit;
    same_top1: images for which both name the same class, at every place where they name one; images: how many were
    compared.
    """

    max_abs: float
    max_rel: float
    same_top1: int
    images: int

    def holds(self, tolerance: float) -> bool:
        """Equal to `tolerance` relative, and every image named alike. Not a number is never equal."""
        return self.max_rel <= tolerance and self.same_top1 == self.images

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(reference: nn.Module, other: nn.Module, inputs: Tensor, batch_size: int = 64) -> Equality:
    """Run both networks in eval mode on inputs [N, C, H, W] in the inputs' number format and compare their logits,
    [N, classes] or [N, classes, ...].

    The networks are converted in place to the inputs' dtype and device.

    Raises:
        ValueError: a network is in training mode, or no inputs.
    """
    if reference.training or other.training or not len(inputs):
        raise ValueError("comparing needs two networks in eval mode and at least one input")
    reference, other = reference.to(inputs), other.to(inputs)
    with torch.inference_mode():
        pairs = [(reference(batch), other(batch)) for batch in inputs.split(batch_size)]
    expected, got = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    max_abs = float((expected - got).abs().max())
    same = int((expected.argmax(1) == got.argmax(1)).reshape(len(inputs), -1).all(1).sum())
    return Equality(max_abs, max_abs / float(expected.abs().max()), same, len(inputs))
