"""Are losses, mixing and erasing what the recipe asks, and repeatable?"""

import math

import pytest
import torch

from rapidnet.config import AugmentConfig
from rapidnet.data.transforms import Preprocessing, seed_all
from rapidnet.training.tasks import ClassificationTask

PREPROCESSING = Preprocessing(32, 0.9, "bicubic", (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def build(**options: float) -> ClassificationTask:
    return ClassificationTask(4, AugmentConfig(**({"label_smoothing": 0.0} | options)), PREPROCESSING)


def batch(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.arange(size) % 4


def test_plain_batches_are_only_normalised() -> None:
    images, targets = batch()
    inputs, labels = build().prepare(images, targets)
    torch.testing.assert_close(inputs, PREPROCESSING.normalize(images))
    assert torch.equal(labels, targets)


def test_loss_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    total = math.exp(2) + 3
    right, wrong = -math.log(math.exp(2) / total), -math.log(1 / total)
    target = torch.tensor([0])
    assert build().loss(logits, target).item() == pytest.approx(right)
    assert build(label_smoothing=0.2).loss(logits, target).item() == pytest.approx(0.85 * right + 0.15 * wrong)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_targets_are_the_shares_of_the_mixed_images(kind: str) -> None:
    seed_all(0)
    white, black = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    inputs, targets = build(**{kind: 1.0}).prepare(torch.cat([white, black]), torch.tensor([0, 1]))
    pixels = inputs * 0.2 + torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    assert 0 < float(targets[0, 0]) < 1
    torch.testing.assert_close(pixels[0].mean(), targets[0, 0], atol=1e-3, rtol=0)


def test_an_odd_batch_stays_unmixed() -> None:
    inputs, targets = build(mixup=1.0).prepare(*batch(5))
    assert targets.shape == (5,)
    assert len(inputs) == 5


def test_erasing_changes_rectangles_only() -> None:
    images, targets = batch(64)
    seed_all(1)
    inputs, _ = build(random_erasing=0.5).prepare(images, targets)
    changed = (inputs != PREPROCESSING.normalize(images)).any(1)
    share = changed.flatten(1).float().mean(1)
    assert 15 < int((share > 0).sum()) < 49
    assert float(share.max()) < 0.5


def test_the_seed_repeats_a_batch() -> None:
    task = build(mixup=0.4, cutmix=1.0, random_erasing=0.5)
    drawn = []
    for seed in (3, 3, 4):
        seed_all(seed)
        drawn.append(task.prepare(*batch())[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_counting_takes_the_larger_part_of_a_mixed_target() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert ClassificationTask.count_correct(logits, torch.tensor([0, 0])) == 1
    assert ClassificationTask.count_correct(logits, torch.tensor([[0.6, 0.4], [0.3, 0.7]])) == 2
