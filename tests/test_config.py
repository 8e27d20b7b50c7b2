"""Is a setting that cannot be meant refused, and does a config survive its own file?"""

from dataclasses import asdict

import pytest

from rapidnet.config import AugmentConfig, DistillationConfig, OptimizerConfig, PredictConfig, TrainConfig
from rapidnet.errors import UserError


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"image_size": 31}, "at least 32"),
        ({"batch_size": 1}, "BatchNorm"),
        ({"val_fraction": 1.0}, "val_fraction"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"accumulate": 0}, "accumulate"),
        ({"train_length": 5}, "train_length has no effect"),
        ({"data": "builtin", "holdout": True}, "holdout has no effect"),
        ({"data": "builtin", "augment": AugmentConfig(hflip=0.0)}, "hflip has no effect"),
        ({"data": "builtin", "balance": "loss"}, "balance has no effect on --data builtin"),
        ({"data": "builtin", "group_regex": "(a)"}, "group_regex has no effect"),
        ({"data": "builtin", "labels": "labels.csv"}, "labels has no effect"),
        ({"balance_power": 0.5}, "balance_power has no effect on balance none"),
        ({"balance": "sampling", "balance_beta": 0.9}, "balance_beta has no effect on balance sampling"),
        ({"balance": "sampling", "balance_power": 0.0}, "balance_power is 0"),
        ({"balance": "loss", "balance_beta": 1.0}, "balance_beta is 1"),
        ({"labels": "l.csv", "distillation": DistillationConfig(teacher="x")}, "teacher has no effect with several"),
        ({"data": ""}, "nothing to train on"),
    ],
)
def test_refused_settings(settings: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        TrainConfig(**({"data": "photos"} | settings))


def test_refused_parts() -> None:
    for build, word in (
        (lambda: OptimizerConfig(lr=0), "lr is 0"),
        (lambda: OptimizerConfig(weight_decay=-1), "weight_decay"),
        (lambda: AugmentConfig(crop_scale=(0.9, 0.1)), "crop_scale"),
        (lambda: AugmentConfig(hflip=1.5), "hflip"),
        (lambda: PredictConfig("run", "x.jpg", top=0), "top is 0"),
        (lambda: PredictConfig("run", "x.jpg", threshold=2), "threshold is 2"),
    ):
        with pytest.raises(UserError, match=word):
            build()


def test_a_config_survives_its_dictionary() -> None:
    config = TrainConfig(
        "photos", optimizer=OptimizerConfig(options={"nesterov": True}), augment=AugmentConfig(mixup=0.1)
    )
    values = asdict(config)
    values["augment"]["crop_scale"] = list(values["augment"]["crop_scale"])
    assert TrainConfig.from_dict(values) == config
