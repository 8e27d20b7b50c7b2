"""Do a picture, its boxes and its masks stay together through every transform, and is all that is random seeded?"""

import colorsys
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rapidnet.data import photometric
from rapidnet.data.dense_geometry import crop_sample, flip_sample, pad_sample, resize_sample
from rapidnet.data.dense_samples import DenseSample, Targets
from rapidnet.data.dense_transforms import (
    DenseEvaluation,
    DetectionAugment,
    DetectionTrain,
    SegmentationAugment,
    SegmentationTrain,
    find_largest_share,
)
from rapidnet.data.photometric import distort_colors, scale_values, turn_colors
from rapidnet.data.transforms import open_stream
from rapidnet.images import fit_size

BOXES = [(4, 6, 24, 30), (30, 10, 70, 40), (50, 45, 51, 46)]
COLORS = [(250, 20, 20), (20, 250, 20), (20, 20, 250)]
SIZE = (60, 80)


def painted(crowd: int | None = None) -> DenseSample:
    """Rectangles of one colour each, whose boxes and masks are known."""
    image = torch.full((3, *SIZE), 128, dtype=torch.uint8)
    masks = torch.zeros(len(BOXES), *SIZE, dtype=torch.bool)
    for index, ((left, top, right, bottom), color) in enumerate(zip(BOXES, COLORS, strict=True)):
        image[:, top:bottom, left:right] = torch.tensor(color, dtype=torch.uint8)[:, None, None]
        masks[index, top:bottom, left:right] = True
    semantic = torch.full(SIZE, 255, dtype=torch.uint8)
    for index in range(len(BOXES)):
        semantic[masks[index]] = index
    return image, Targets(
        image_id=1, size=SIZE, boxes=torch.tensor(BOXES, dtype=torch.float32), labels=torch.arange(3),
        iscrowd=torch.arange(3) == (-1 if crowd is None else crowd), area=torch.tensor([480.0, 1200, 1]), masks=masks,
        semantic=semantic,
    )  # fmt: skip


def by_color(image: Tensor, label: int) -> Tensor:
    """Where a picture has more of an object's colour than of the grey behind it."""
    return (image.int() - torch.tensor(COLORS[label])[:, None, None]).abs().sum(0) < 169


def check_together(image: Tensor, targets: Targets, slack: float = 1.0) -> None:
    height, width = image.shape[1:]
    assert targets["masks"].shape[1:] == targets["semantic"].shape == (height, width)
    assert len(targets["boxes"]) == len(targets["labels"]) == len(targets["masks"]) == len(targets["area"])
    for box, label, mask in zip(targets["boxes"], targets["labels"].tolist(), targets["masks"], strict=True):
        rows, columns = torch.nonzero(mask, as_tuple=True)
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert (box - torch.tensor(tight)).abs().max() <= slack, label
        assert torch.equal(mask, targets["semantic"] == label)
        if label < 2:
            seen = by_color(image, label)
            assert (seen & mask).sum() / (seen | mask).sum() > 0.9, label


def test_flipping_twice_changes_nothing() -> None:
    image, targets = painted()
    flipped, changed = flip_sample(image, targets)
    check_together(flipped, changed, 0)
    assert changed["boxes"][0].tolist() == [56, 6, 76, 30]
    back, restored = flip_sample(flipped, changed)
    assert torch.equal(back, image) and all(
        torch.equal(restored[k], targets[k]) for k in ("boxes", "masks", "semantic")
    )


@pytest.mark.parametrize("size", [(120, 160), (45, 60), (97, 71)])
def test_resizing(size: tuple[int, int]) -> None:
    image, targets = resize_sample(*painted(), *size)
    assert image.shape[1:] == size and image.dtype == torch.uint8
    check_together(image, targets)
    assert targets["size"] == SIZE and targets["area"].tolist()[:2] == [480, 1200], "as annotated, in the file"


def test_what_vanishes_is_left_out() -> None:
    _, targets = resize_sample(*painted(), 20, 27)
    assert targets["labels"].tolist() == [0, 1]
    image, targets = crop_sample(*painted(), 8, 20, 30, 20)
    assert targets["labels"].tolist() == [0, 1] and targets["boxes"].tolist() == [[0, 0, 4, 22], [10, 2, 20, 30]]
    check_together(image, targets, 0)
    _, targets = crop_sample(*painted(), 50, 0, 10, 10)
    assert targets["boxes"].shape == (0, 4) and targets["masks"].shape == (0, 10, 10)


def test_padding() -> None:
    image, targets = pad_sample(*painted(), 64, 96, (1, 2, 3))
    assert image.shape == (3, 64, 96) and image[:, 60, 0].tolist() == image[:, 0, 80].tolist() == [1, 2, 3]
    assert (targets["semantic"][60:] == 255).all() and not targets["masks"][:, :, 80:].any()
    check_together(image, targets, 0)


def test_transforms_of_no_objects() -> None:
    image, _ = painted()
    empty = Targets(
        image_id=1, size=SIZE, boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64),
        iscrowd=torch.zeros(0, dtype=torch.bool), area=torch.zeros(0), masks=torch.zeros(0, *SIZE, dtype=torch.bool),
    )  # fmt: skip
    out, changed = DetectionTrain(DetectionAugment((40,), 60, (0.5, 2), (32, 32), 1))(image, empty, open_stream(0))
    assert changed["masks"].shape == (0, *out.shape[1:]) and changed["boxes"].shape == (0, 4)


def test_sizes_keep_the_shape() -> None:
    assert fit_size(480, 640, 800, 1333) == (800, 1067)
    assert fit_size(300, 900, 800, 1333) == (444, 1333)
    assert fit_size(900, 300, 800, 1333) == (1333, 444)
    assert fit_size(1, 5000, 800, 1333) == (1, 1333)


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_training_transforms_keep_together_what_belongs_together_and_repeat(kind: str) -> None:
    transform = (
        DetectionTrain(DetectionAugment((40, 60), 90, (0.7, 1.5), (50, 50)))
        if kind == "detection"
        else SegmentationTrain(SegmentationAugment(60, 240, (0.7, 1.5), (50, 50), photometric=False))
    )
    seen = set()
    for index in range(40):
        image, targets = transform(*painted(), open_stream(0, 0, index))
        torch.rand(index)
        again, _ = transform(*painted(), open_stream(0, 0, index))
        assert torch.equal(image, again), "nothing but the key matters"
        check_together(image, targets)
        seen.add((tuple(image.shape), tuple(targets["boxes"].flatten().tolist())))
        assert image.shape[1] <= 50 and image.shape[2] <= 50
    assert len(seen) > 30, "and it does matter"


def test_crowds_do_not_train() -> None:
    transform = DetectionTrain(DetectionAugment((60,), 80, hflip=0))
    assert transform(*painted(crowd=1), open_stream(0))[1]["labels"].tolist() == [0, 2]
    assert transform(*painted(), open_stream(0))[1]["labels"].tolist() == [0, 1, 2]


def test_windows_of_one_class_are_drawn_again() -> None:
    """A picture of one class with a corner of another: with the bound, windows show the corner far more often."""
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    semantic = torch.zeros(64, 64, dtype=torch.uint8)
    semantic[40:, 40:] = 1
    shares = {}
    for ratio in (1.0, 0.75):
        transform = SegmentationTrain(SegmentationAugment(64, 64, (1, 1), (24, 24), ratio, photometric=False))
        windows = [
            transform(image, Targets(semantic=semantic), open_stream(index))[1]["semantic"] for index in range(60)
        ]
        shares[ratio] = sum(find_largest_share(window) <= 0.75 for window in windows) / 60
    assert shares[0.75] > 0.6 > 0.3 > shares[1.0], shares
    assert find_largest_share(torch.full((4, 4), 255, dtype=torch.uint8)) == 1
    assert find_largest_share(torch.tensor([[0, 1], [1, 255]], dtype=torch.uint8)) == pytest.approx(2 / 3)


def test_evaluation_resizes_the_picture_as_pillow_does_and_leaves_targets() -> None:
    image, targets = painted()
    out, same = DenseEvaluation(30, 50)(image, targets)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((40, 30), Image.Resampling.BILINEAR)
    assert np.array_equal(out.permute(1, 2, 0).numpy(), np.asarray(pillow)) and same is targets
    assert DenseEvaluation(60, 80)(image, targets)[0] is image


def test_colours_are_scaled_and_turned_as_the_formulas_say() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    expected = (pixels * 1.3 - 20).clip(0, 255).round()
    assert np.array_equal(scale_values(pixels, 1.3, -20), expected)
    turned = turn_colors(pixels, 0.6, 0.1)
    for before, after in zip(pixels.reshape(-1, 3), turned.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        exact = np.array(colorsys.hsv_to_rgb((hue + 0.1) % 1, min(1, saturation * 0.6), value)) * 255
        assert np.abs(exact - after).max() <= 6, "eight bits of hue and saturation"


def test_each_distortion_happens_half_of_the_time_and_within_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled: list[tuple[float, float]] = []
    turned: list[tuple[float, float]] = []
    monkeypatch.setattr(photometric, "scale_values", lambda p, f, o: scaled.append((f, o)) or p)
    monkeypatch.setattr(photometric, "turn_colors", lambda p, s, h: turned.append((s, h)) or p)
    image = torch.zeros(3, 2, 2, dtype=torch.uint8)
    for index in range(400):
        distort_colors(image, random.Random(index))
    brightness = [offset for factor, offset in scaled if factor == 1]
    contrast = [factor for factor, _ in scaled if factor != 1]
    saturation, hue = [s for s, _ in turned if s != 1], [h for _, h in turned if h]
    for values, low, high in ((brightness, -32, 32), (contrast, 0.5, 1.5), (saturation, 0.5, 1.5), (hue, -0.1, 0.1)):
        assert 150 < len(values) < 250
        assert low <= min(values) < low + 0.1 * (high - low) and high - 0.1 * (high - low) < max(values) <= high


def test_distortion_does_not_write_into_its_input() -> None:
    image, _ = painted()
    before = image.clone()
    changed = sum(not torch.equal(distort_colors(image, random.Random(index)), before) for index in range(10))
    assert torch.equal(image, before) and changed > 5
