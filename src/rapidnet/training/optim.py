"""How do the weights move? Optimizer and learning-rate schedule, both timm's."""

from collections.abc import Callable
from typing import Any

from timm.optim import create_optimizer_v2, list_optimizers, param_groups_weight_decay
from timm.scheduler import CosineLRScheduler, MultiStepLRScheduler, PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.optim import Optimizer

from rapidnet.config import OptimizerConfig
from rapidnet.errors import UserError, nearest
from rapidnet.models.features import FeatureBackbone


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """An optimizer over `model`; weight decay spares biases, BatchNorm, layer scales.

    Raises:
        UserError: timm knows no optimizer of that name, or it does not take one of the options.
    """
    group = split_backbone(config) if config.backbone_lr_scale != 1 else None
    try:
        return create_optimizer_v2(
            model, opt=config.name, lr=config.lr, weight_decay=config.weight_decay,
            layer_decay=config.layer_decay or None, param_group_fn=group, **config.options,
        )  # fmt: skip
    except ValueError as error:
        known = list_optimizers()
        if config.name in known:
            raise UserError(f"optimizer.options do not fit {config.name}: {error}") from error
        raise UserError(f"optimizer.name '{config.name}' is unknown to timm{nearest(config.name, known)}") from error
    except TypeError as error:
        raise UserError(f"optimizer.options do not fit {config.name}: {error}") from error


def split_backbone(config: OptimizerConfig) -> Callable[[nn.Module], list[dict[str, Any]]]:
    """Groups of parameters as without it, those of the backbone apart and with their own rate."""

    def group(model: nn.Module) -> list[dict[str, Any]]:
        backbones = [module for module in model.modules() if isinstance(module, FeatureBackbone)]
        slow = {id(parameter) for backbone in backbones for parameter in backbone.parameters()}
        groups = []
        for whole in param_groups_weight_decay(model, config.weight_decay):
            for is_slow, scale in ((False, 1.0), (True, config.backbone_lr_scale)):
                members = [parameter for parameter in whole["params"] if (id(parameter) in slow) == is_slow]
                if members:
                    groups.append({**whole, "params": members, "lr_scale": scale})
        return groups

    return group


def build_scheduler(optimizer: Optimizer, config: OptimizerConfig, epochs: int, updates_per_epoch: int) -> Scheduler:
    """Linear warm-up, a fall, cool-down at min_lr; a pure function of the number of updates done.

    Raises:
        UserError: warm-up and cool-down leave no epoch for the fall.
    """
    warmup_epochs = config.warmup_epochs if config.warmup_epochs is not None else min(0.1 * epochs, 5.0)
    falling_epochs = epochs - config.cooldown_epochs
    if falling_epochs <= warmup_epochs:
        raise UserError(
            f"{epochs} epochs leave no room after optimizer.warmup_epochs {warmup_epochs} and "
            f"optimizer.cooldown_epochs {config.cooldown_epochs}; shorten these or train longer"
        )
    common = {
        "t_initial": max(1, round(falling_epochs * updates_per_epoch)), "lr_min": config.min_lr,
        "warmup_t": round(warmup_epochs * updates_per_epoch), "warmup_lr_init": min(config.warmup_lr, config.lr),
        "warmup_prefix": False, "cycle_limit": 1, "t_in_epochs": False,
    }  # fmt: skip
    if config.schedule == "step":
        return build_steps(optimizer, config, updates_per_epoch)
    if config.schedule in ("linear", "poly"):
        return PolyLRScheduler(optimizer, power=config.power if config.schedule == "poly" else 1.0, **common)
    return CosineLRScheduler(optimizer, **common)


def build_steps(optimizer: Optimizer, config: OptimizerConfig, updates_per_epoch: int) -> Scheduler:
    """A tenth of the learning rate from each milestone on, after the warm-up."""
    return MultiStepLRScheduler(
        optimizer,
        decay_t=[round(epoch * updates_per_epoch) for epoch in config.milestones],
        decay_rate=0.1,
        warmup_t=round((config.warmup_epochs or 0.0) * updates_per_epoch),
        warmup_lr_init=min(config.warmup_lr, config.lr),
        warmup_prefix=False,
        t_in_epochs=False,
    )
