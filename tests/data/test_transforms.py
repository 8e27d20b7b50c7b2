"""Are images prepared as the network's configuration says, and is what is random repeatable?"""

import random

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torch import Tensor

from rapidnet.config import AugmentConfig
from rapidnet.data.transforms import Preprocessing, build_train_transform, seed_all, seeded
from rapidnet.errors import UserError


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((240, 180), Image.Resampling.BICUBIC)


def test_equals_timms_evaluation_transform(picture: Image.Image) -> None:
    model = timm.create_model("rapidnet_ti", num_classes=2)
    ours = Preprocessing.from_model(model, 64)
    config = timm.data.resolve_data_config({"input_size": (3, 64, 64)}, model=model)
    expected: Tensor = create_transform(**config)(picture)
    got = ours.normalize(ours.build_transform()(picture)[None])[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_travels_as_a_dictionary() -> None:
    ours = Preprocessing.from_model(timm.create_model("rapidnet_ti"), 128, 0.95)
    assert (ours.image_size, ours.crop_pct, ours.interpolation) == (128, 0.95, "bicubic")
    assert Preprocessing.from_dict(ours.to_dict()) == ours
    with pytest.raises(UserError, match="lanczos3"):
        _ = Preprocessing.from_dict(ours.to_dict() | {"interpolation": "lanczos3"}).interpolation_mode


FULL = AugmentConfig(color_jitter=0.4, rand_augment="rand-m9-mstd0.5-inc1")


def test_training_transform_follows_the_seed_alone(picture: Image.Image) -> None:
    transform = build_train_transform(FULL, Preprocessing.from_model(timm.create_model("rapidnet_ti"), 64))

    def draw(*key: int) -> Tensor:
        with seeded(*key):
            return transform(picture)

    first = draw(0, 3, 7)
    random.random(), np.random.rand(), torch.rand(1)
    assert torch.equal(first, draw(0, 3, 7))
    assert first.shape == (3, 64, 64)
    assert first.dtype == torch.uint8
    assert not any(torch.equal(first, draw(*key)) for key in ((0, 3, 8), (0, 4, 7), (1, 3, 7)))


def test_seeding_is_undone() -> None:
    seed_all(5)
    expected = (random.random(), np.random.rand(), float(torch.rand(1)))
    seed_all(5)
    with seeded(1, 2):
        random.random(), np.random.rand(), torch.rand(1)
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected


def test_flip_can_be_turned_off() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 200, 5, dtype=np.uint8)[None, :, None], (40, 1, 3)))
    preprocessing = Preprocessing.from_model(timm.create_model("rapidnet_ti"), 32)
    for hflip, expected in ((0.0, {True}), (1.0, {False}), (0.5, {True, False})):
        transform = build_train_transform(AugmentConfig(hflip=hflip), preprocessing)
        seed_all(0)
        rising = set()
        for _ in range(30):
            image = transform(ramp).float()
            rising.add(bool(image[..., -1].mean() > image[..., 0].mean()))
        assert rising == expected


def test_unknown_rand_augment_is_one_sentence() -> None:
    with pytest.raises(UserError, match="rand-m9"):
        build_train_transform(
            AugmentConfig(rand_augment="m9-what"), Preprocessing(32, 0.9, "bicubic", (0,) * 3, (1,) * 3)
        )
