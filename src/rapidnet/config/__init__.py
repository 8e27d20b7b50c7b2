"""Plain dataclasses, one for each command."""

from rapidnet.config.choices import BadSamples, Weights
from rapidnet.config.commands import (
    AuditConfig,
    BuiltinConfig,
    EvaluateConfig,
    InfoConfig,
    PredictConfig,
    QuickstartConfig,
    ShardConfig,
)
from rapidnet.config.training import AugmentConfig, OptimizerConfig, TrainConfig

__all__ = [
    "AuditConfig",
    "AugmentConfig",
    "BadSamples",
    "BuiltinConfig",
    "EvaluateConfig",
    "InfoConfig",
    "OptimizerConfig",
    "PredictConfig",
    "QuickstartConfig",
    "ShardConfig",
    "TrainConfig",
    "Weights",
]
