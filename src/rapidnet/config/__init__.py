"""Plain dataclasses, one for each command."""

from rapidnet.config.bench import BenchConfig, BenchImportConfig
from rapidnet.config.choices import BadSamples, DenseTask, Weights
from rapidnet.config.commands import (
    AuditConfig,
    BuiltinConfig,
    EvaluateConfig,
    InfoConfig,
    QuickstartConfig,
    ShardConfig,
)
from rapidnet.config.dense import DenseConfig
from rapidnet.config.distillation import DistillationConfig
from rapidnet.config.experiments import AblateConfig, CompareConfig, StudyConfig
from rapidnet.config.explain import ExplainConfig
from rapidnet.config.export import DoctorConfig, ExportConfig, VerifyConfig
from rapidnet.config.optimizer import OptimizerConfig
from rapidnet.config.predict import PredictConfig
from rapidnet.config.robustness import RobustnessConfig
from rapidnet.config.serving import DemoConfig, ServeConfig
from rapidnet.config.training import AugmentConfig, TeacherCacheConfig, TrainConfig

__all__ = [
    "AblateConfig",
    "AuditConfig",
    "AugmentConfig",
    "BadSamples",
    "BenchConfig",
    "BenchImportConfig",
    "BuiltinConfig",
    "CompareConfig",
    "DemoConfig",
    "DenseConfig",
    "DenseTask",
    "DistillationConfig",
    "DoctorConfig",
    "EvaluateConfig",
    "ExplainConfig",
    "ExportConfig",
    "InfoConfig",
    "OptimizerConfig",
    "PredictConfig",
    "QuickstartConfig",
    "RobustnessConfig",
    "ServeConfig",
    "ShardConfig",
    "StudyConfig",
    "TeacherCacheConfig",
    "TrainConfig",
    "VerifyConfig",
    "Weights",
]
