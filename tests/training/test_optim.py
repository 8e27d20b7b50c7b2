"""Does the learning rate rise and fall as configured, and does weight decay spare what it should?"""

import itertools

import pytest
import timm
import torch
from torch import nn

from conftest import TINY
from rapidnet.config import OptimizerConfig, TrainConfig
from rapidnet.errors import UserError
from rapidnet.models.dense import DenseNetwork
from rapidnet.training.optim import build_optimizer, build_scheduler


def rates(config: OptimizerConfig, epochs: int, updates: int) -> list[float]:
    optimizer = build_optimizer(nn.Linear(2, 2), config)
    scheduler = build_scheduler(optimizer, config, epochs, updates)
    out = []
    for step in range(epochs * updates):
        scheduler.step_update(step)
        out.append(optimizer.param_groups[0]["lr"])
    return out


@pytest.mark.parametrize(("schedule", "middle"), [("cosine", 0.5), ("linear", 0.5)])
def test_warm_up_fall_and_cool_down(schedule: str, middle: float) -> None:
    config = OptimizerConfig(lr=1.0, warmup_epochs=1, warmup_lr=0.0, min_lr=0.0, cooldown_epochs=1, schedule=schedule)
    lr = rates(config, 6, 100)
    assert lr[0] == 0
    assert lr[50] == pytest.approx(0.5)
    assert max(lr) > 0.85
    assert lr[100:500] == sorted(lr[100:500], reverse=True)
    assert lr[250] == pytest.approx(middle, abs=0.01)
    assert all(value == pytest.approx(0, abs=1e-9) for value in lr[500:])


def test_linear_is_a_straight_line() -> None:
    lr = rates(OptimizerConfig(lr=1.0, warmup_epochs=0, min_lr=0.0, schedule="linear"), 2, 50)
    steps = [a - b for a, b in itertools.pairwise(lr)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-6)
    curved = rates(OptimizerConfig(lr=1.0, warmup_epochs=0, min_lr=0.0), 2, 50)
    assert max(a - b for a, b in itertools.pairwise(curved)) > 1.3 * max(steps)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0.1), (30, 3), (300, 5)])
def test_warm_up_fits_any_length_unless_given(epochs: int, warmup: float) -> None:
    lr = rates(OptimizerConfig(lr=1.0, warmup_lr=0.0), epochs, 100)
    assert lr.index(max(lr)) == pytest.approx(100 * warmup, abs=1)


def test_decay_spares_vectors() -> None:
    model = timm.create_model("rapidnet_ti", num_classes=2)
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.05))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(p) for p in model.parameters() if p.ndim > 1}


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_backbone_has_its_own_rate_throughout(name: str) -> None:
    model: nn.Module = DenseNetwork("semantic", "semantic_fpn", "rapidnet_ti", 3, 64, 64, {}, dict(TINY)).build()
    config = OptimizerConfig(name, lr=1.0, backbone_lr_scale=0.25, warmup_epochs=1, warmup_lr=0.0)
    optimizer = build_optimizer(model, config)
    slow = [parameter for key, parameter in model.named_parameters() if key.startswith("backbone.features.")]
    assert slow and len(slow) < len(list(model.parameters()))
    scheduler = build_scheduler(optimizer, config, 3, 10)
    for step in (0, 5, 10, 20, 29):
        scheduler.step_update(step)
        rate = {id(own): group["lr"] for group in optimizer.param_groups for own in group["params"]}
        decay = {id(own): group["weight_decay"] for group in optimizer.param_groups for own in group["params"]}
        assert len(rate) == len(list(model.parameters()))
        of_backbone = {rate.pop(id(parameter)) for parameter in slow}
        assert len(of_backbone) == len(set(rate.values())) == 1
        assert of_backbone.pop() == pytest.approx(0.25 * set(rate.values()).pop())
    assert {id(p) for p in model.parameters() if p.ndim > 1} == {key for key, value in decay.items() if value}
    with pytest.raises(UserError, match="backbone_lr_scale has no effect on --task classify"):
        TrainConfig(optimizer=config)


def test_options_reach_the_optimizer_and_wrong_ones_are_refused() -> None:
    optimizer = build_optimizer(nn.Linear(2, 2), OptimizerConfig(name="sgd", options={"momentum": 0.5}))
    assert optimizer.param_groups[0]["momentum"] == 0.5
    assert isinstance(optimizer, torch.optim.SGD)
    with pytest.raises(UserError, match="no_such"):
        build_optimizer(nn.Linear(2, 2), OptimizerConfig(options={"no_such": 1}))
    with pytest.raises(UserError, match="leave no room"):
        rates(OptimizerConfig(warmup_epochs=2), 2, 10)
