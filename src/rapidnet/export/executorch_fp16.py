"""How do a captured network's convolutions come to compute in half precision, from half weights?"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from rapidnet.export.capture import Captured, Deployed, export_program
from rapidnet.export.half import answer_in_float, halve_network

SCHEME = "fp16: weights and activations; normalisation and the answer's activation in fp32"


class HalfInside(nn.Module):
    """A deployed network whose convolutions are half; takes and answers what the float one does."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deepcopy(deployed)
        self.deployed.network = halve_network(deployed.network)

    def forward(self, pixels: Tensor) -> Any:
        deployed = self.deployed
        if deployed.raw:
            return answer_in_float(deployed.network(pixels.half()))
        # Pixels are normalised in float, since half has no room for 255 and the small steps around zero at once.
        normalised = (pixels.to(torch.float32) - deployed.mean) * deployed.scale
        return deployed.activate(answer_in_float(deployed.network(normalised.half())))


def build_half_program(captured: Captured) -> ExportedProgram:
    """The captured network again, in half precision."""
    return export_program(HalfInside(captured.module).eval(), captured.example, captured.spec)


@contextmanager
def keep_half_weights() -> Iterator[None]:
    """Within it, XNNPACK graphs are written with the half weights that a program has.

    ExecuTorch writes every convolution's weights as float, for XNNPACK to halve on loading, so that a half program's
    file would be no smaller. XNNPACK takes half weights as well; nothing but ExecuTorch's table of who writes which
    operator says otherwise, so for the time of a conversion another writer stands in it.
    """
    from executorch.backends.xnnpack.operators import node_visitor

    writers: dict[str, Any] = node_visitor._node_visitor_dict
    target = "aten.convolution.default"
    usual: Any = writers[target]

    class HalfConvolution(usual):
        def define_tensor(self, *values: Any, **options: Any) -> None:
            super().define_tensor(*values, **(options | {"force_fp32": False}))

    writers[target] = HalfConvolution
    try:
        yield
    finally:
        writers[target] = usual
