"""How does a network learn to live with eight bits? Convolutions that round as the int8 artifact will.

Quantisation-aware training (Jacob et al., CVPR 2018), stateless: ranges are those of the batch at hand, so nothing is
added to a checkpoint and a resumed run equals an uninterrupted one. Weights are rounded before their BatchNorm, which
is the same as after folding: a symmetric rounding per output channel moves with that channel's scale. The gradient
passes the rounding as if it were not there.
"""

import torch
from torch import Tensor, nn

from rapidnet.models.rapidnet import RepDepthwiseConv


class FakeQuantConv2d(nn.Conv2d):
    """A convolution of rounded inputs (256 levels per tensor) and weights (255 levels per output channel)."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(round_activation(input), round_weight(weight), bias)


class FakeQuantRepDepthwiseConv(RepDepthwiseConv):
    """x + depthwise(x) as the one depthwise convolution it will be folded into, rounded."""

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        skip = torch.zeros_like(conv.weight)
        skip[:, 0, skip.shape[2] // 2, skip.shape[3] // 2] = 1.0
        return nn.functional.conv2d(
            round_activation(x), round_weight(conv.weight + skip), conv.bias, padding=conv.padding, groups=conv.groups
        )


def fake_quantize(network: nn.Module) -> None:
    """Make every convolution of `network` round, in place; parameters and their names stay as they are."""
    for module in network.modules():
        # Another class over the same parameters: checkpoints, copies for averaging and folding see no difference.
        if type(module) is RepDepthwiseConv:
            module.__class__ = FakeQuantRepDepthwiseConv
        elif type(module) is nn.Conv2d:
            module.__class__ = FakeQuantConv2d
    for module in network.modules():
        if isinstance(module, FakeQuantRepDepthwiseConv):
            module.conv.__class__ = nn.Conv2d


def round_weight(weight: Tensor) -> Tensor:
    """To 255 levels per output channel, symmetric, and back."""
    values = weight.float()
    scale = values.detach().abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
    return pass_through(values, (values / scale).round() * scale).to(weight.dtype)


def round_activation(values: Tensor) -> Tensor:
    """To 256 levels between the batch's own extremes, zero among them, and back."""
    exact = values.float()
    low, high = exact.detach().amin().clamp(max=0), exact.detach().amax().clamp(min=0)
    scale = ((high - low) / 255).clamp(min=1e-12)
    zero = (-low / scale).round()
    return pass_through(exact, ((exact / scale + zero).round().clamp(0, 255) - zero) * scale).to(values.dtype)


def pass_through(values: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `values`."""
    return values + (rounded - values).detach()
