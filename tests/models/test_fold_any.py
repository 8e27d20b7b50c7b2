"""Is a network of others the same function after folding, and is it folded?"""

import pytest
import timm
import torch
from torch import nn

from conftest import TINY, randomize
from rapidnet.models import create_model, reparameterize
from rapidnet.models.fold_any import fold_any


def count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in model.modules())


def shake_norms(model: nn.Module) -> nn.Module:
    """BatchNorm statistics and weights that a fold has to get right."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_var, module.weight):
                if tensor is not None:
                    tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.running_mean, module.bias):
                if tensor is not None:
                    tensor.data.copy_(torch.rand(tensor.shape, generator=generator) - 0.5)
    return model.eval()


@pytest.mark.parametrize("name", ["mobilenetv2_050", "mobilenetv3_small_050", "mobilenetv4_conv_small", "mobileone_s0"])
@torch.no_grad()
def test_the_same_function(name: str) -> None:
    torch.manual_seed(0)
    model = shake_norms(timm.create_model(name)).double()
    image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    before = model(image)
    folded = fold_any(model)
    assert count(folded, nn.BatchNorm2d) == 0 and count(folded, nn.Linear) == 0
    assert torch.allclose(folded(image), before, rtol=1e-9, atol=1e-9 * float(before.abs().max()))
    assert torch.equal(model(image), before), "the network itself is left alone"
    # A statistic that changes must change the fold's answers: it is not ignored.
    norm = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    norm.running_mean += 1
    assert not torch.allclose(fold_any(model)(image), before, rtol=1e-3)


def test_a_classifier_without_flattening_before_it() -> None:
    folded = fold_any(timm.create_model("mobilenetv2_050").eval())
    # One is left: after the classifier.
    assert count(folded, nn.Flatten) == 1 and count(folded, nn.Unflatten) == 0


def test_what_cannot_be_traced_keeps_its_norms() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.norm(self.conv(image))
            return out if out.mean() > 0 else -out

    model = Branching().eval()
    image = torch.randn(1, 3, 8, 8)
    assert torch.equal(fold_any(model)(image), model(image)) and count(fold_any(model), nn.BatchNorm2d) == 1


def test_ours_is_folded_by_its_own_rules() -> None:
    model = randomize(create_model("rapidnet_ti", num_classes=10, **TINY))
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(fold_any(model)(image), reparameterize(model)(image))
