"""Are images prepared as the network's configuration says, and is what is random repeatable?"""

import random

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from rapidnet.config import AugmentConfig
from rapidnet.data.transforms import Preprocessing, build_train_transform, draw_crop, open_stream, seed_all
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
    got = ours.normalize(ours(picture)[None])[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_travels_as_a_dictionary() -> None:
    ours = Preprocessing.from_model(timm.create_model("rapidnet_ti"), 128, 0.95)
    assert (ours.image_size, ours.crop_pct, ours.interpolation) == (128, 0.95, "bicubic")
    assert Preprocessing.from_dict(ours.to_dict()) == ours
    with pytest.raises(UserError, match="lanczos3"):
        _ = Preprocessing.from_dict(ours.to_dict() | {"interpolation": "lanczos3"}).interpolation_mode


FULL = AugmentConfig(color_jitter=0.4, rand_augment="rand-m9-mstd0.5-inc1")


def test_training_transform_follows_its_generator_alone(picture: Image.Image) -> None:
    transform = build_train_transform(FULL, Preprocessing.from_model(timm.create_model("rapidnet_ti"), 64))
    image = pil_to_tensor(picture)

    def draw(*key: int) -> Tensor:
        return transform(image, open_stream(*key))

    first = draw(0, 3, 7)
    random.random(), np.random.rand(), torch.rand(1)
    assert torch.equal(first, draw(0, 3, 7))
    assert first.shape == (3, 64, 64)
    assert first.dtype == torch.uint8
    assert not any(torch.equal(first, draw(*key)) for key in ((0, 3, 8), (0, 4, 7), (1, 3, 7), (0, 37)))


def test_global_generators_are_neither_read_nor_moved(picture: Image.Image) -> None:
    transform = build_train_transform(FULL, Preprocessing.from_model(timm.create_model("rapidnet_ti"), 64))
    image = pil_to_tensor(picture)
    made = []
    for seed in (5, 6):
        seed_all(seed)
        expected = (random.random(), np.random.rand(), float(torch.rand(1)))
        seed_all(seed)
        made.append([transform(image, open_stream(0, 0, index)) for index in range(60)])
        assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected
    assert all(torch.equal(*pair) for pair in zip(*made, strict=True))


def test_crops_are_distributed_as_timms() -> None:
    rng, count, scale, ratio = random.Random(0), 4000, (0.08, 1.0), (0.75, 1.3333)
    random.seed(0)
    for width, height in ((200, 150), (40, 300)):
        blank = Image.new("L", (width, height))
        ours = np.array([draw_crop(height, width, scale, ratio, rng) for _ in range(count)])
        theirs = np.array([RandomResizedCropAndInterpolation.get_params(blank, scale, ratio) for _ in range(count)])
        for column in range(4):
            deciles = [np.quantile(crops[:, column], np.linspace(0.1, 0.9, 9)) for crops in (ours, theirs)]
            assert np.abs(deciles[0] - deciles[1]).max() <= 0.05 * max(width, height), column
        assert (ours[:, 0] + ours[:, 2] <= height).all() and (ours[:, 1] + ours[:, 3] <= width).all()
        assert (ours >= 0).all() and (ours[:, 2:] > 0).all()
    # What never fits is the same centred crop in both.
    assert draw_crop(300, 20, (0.9, 1.0), ratio, rng) == RandomResizedCropAndInterpolation.get_params(
        Image.new("L", (20, 300)), (0.9, 1.0), ratio
    )


def test_a_crop_is_pillows_but_for_rounding(picture: Image.Image) -> None:
    transform = build_train_transform(AugmentConfig(), Preprocessing.from_model(timm.create_model("rapidnet_ti"), 64))
    for index in range(20):
        got = transform(pil_to_tensor(picture), open_stream(index)).int()
        rng = open_stream(index)
        top, left, height, width = draw_crop(180, 240, transform.augment.crop_scale, transform.augment.crop_ratio, rng)
        crop = picture.crop((left, top, left + width, top + height)).resize((64, 64), Image.Resampling.BICUBIC)
        expected = pil_to_tensor(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop).int()
        assert (got - expected).abs().max() <= 2
        assert (got - expected.flip(-1)).abs().max() > 20


def test_flip_can_be_turned_off() -> None:
    ramp = torch.arange(0, 200, 5, dtype=torch.uint8).expand(3, 40, 40)
    preprocessing = Preprocessing.from_model(timm.create_model("rapidnet_ti"), 32)
    for hflip, expected in ((0.0, {True}), (1.0, {False}), (0.5, {True, False})):
        transform = build_train_transform(AugmentConfig(hflip=hflip), preprocessing)
        images = [transform(ramp, open_stream(index)).float() for index in range(30)]
        assert {bool(image[..., -1].mean() > image[..., 0].mean()) for image in images} == expected


def test_normalisation_is_the_same_in_either_layout() -> None:
    preprocessing = Preprocessing.from_model(timm.create_model("rapidnet_ti"), 32)
    images = torch.randint(0, 256, (2, 3, 20, 28), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    for layout in (torch.channels_last, torch.contiguous_format):
        got = preprocessing.normalize(images.contiguous(memory_format=layout))
        assert got.is_contiguous(memory_format=layout)
        torch.testing.assert_close(got, (images / 255 - mean) / std)
    assert preprocessing.normalize(images[:0]).shape == (0, 3, 20, 28)


def test_unknown_rand_augment_is_one_sentence() -> None:
    with pytest.raises(UserError, match="rand-m9"):
        build_train_transform(
            AugmentConfig(rand_augment="m9-what"), Preprocessing(32, 0.9, "bicubic", (0,) * 3, (1,) * 3)
        )
