"""Does the comparison of two networks see what differs?"""

from copy import deepcopy

import pytest
import torch
from torch import nn

from rapidnet.evaluation.equality import Equality, compare


def test_differences_are_measured() -> None:
    first = nn.Linear(4, 3).double().eval()
    second = deepcopy(first)
    inputs = torch.randn(10, 4, dtype=torch.float64)
    assert compare(first, second, inputs, batch_size=3) == Equality(0, 0, 10, 10)
    with torch.no_grad():
        second.bias += 0.5
    result = compare(first, second, inputs)
    assert result.max_abs == pytest.approx(0.5)
    assert result.max_rel == pytest.approx(0.5 / float(first(inputs).detach().abs().max()))
    assert result.same_top1 == 10
    assert not result.holds(1e-3)
    assert result.holds(1e3)


def test_not_a_number_is_never_equal() -> None:
    first = nn.Linear(2, 2).eval()
    second = deepcopy(first)
    nn.init.constant_(second.bias, float("nan"))
    assert not compare(first, second, torch.ones(1, 2)).holds(1e9)


def test_another_class_is_never_equal() -> None:
    assert not Equality(0, 0, 9, 10).holds(1)


def test_misuse_is_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="eval mode"):
        compare(network, network, torch.ones(1, 2))
    with pytest.raises(ValueError, match="at least one input"):
        compare(network.eval(), network, torch.ones(0, 2))
