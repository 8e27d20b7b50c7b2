"""Are losses, mixing and erasing what the recipe asks, and repeatable?"""

import math

import pytest
import torch
from timm.loss import SoftTargetCrossEntropy
from timm.task import DistillationTeacher, TokenDistillationTask
from torch import nn

from rapidnet.config import AugmentConfig, DistillationConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.training.loop import prepare_batch
from rapidnet.training.tasks import ClassificationTask

PREPROCESSING = Preprocessing(32, 0.9, "bicubic", (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


KEYS = [(0, index) for index in range(64)]


def build(**options: float) -> ClassificationTask:
    return ClassificationTask(4, AugmentConfig(**({"label_smoothing": 0.0} | options)), PREPROCESSING)


def batch(size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.arange(size) % 4


def test_plain_batches_are_only_normalised() -> None:
    images, targets = batch()
    inputs, labels = prepare_batch(build(), images, targets, KEYS, (0,))
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
    white, black = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    images = torch.cat([white, black])
    inputs, targets = prepare_batch(build(**{kind: 1.0}), images, torch.tensor([0, 1]), KEYS[:2], (0,))
    pixels = inputs * 0.2 + torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(targets.sum(1), torch.ones(2))
    assert 0 < float(targets[0, 0]) < 1
    torch.testing.assert_close(pixels[0].mean(), targets[0, 0], atol=1e-3, rtol=0)


def test_an_odd_batch_stays_unmixed() -> None:
    inputs, targets = prepare_batch(build(mixup=1.0), *batch(5), KEYS[:5], (0,))
    assert targets.shape == (5,)
    assert len(inputs) == 5


def test_erasing_changes_rectangles_only() -> None:
    images, _ = batch(64)
    inputs = build(random_erasing=0.5).prepare(images, KEYS)
    changed = (inputs != PREPROCESSING.normalize(images)).any(1)
    share = changed.flatten(1).float().mean(1)
    assert 15 < int((share > 0).sum()) < 49
    assert float(share.max()) < 0.5


def test_the_seed_repeats_a_batch() -> None:
    task = build(mixup=0.4, cutmix=1.0, random_erasing=0.5)
    drawn = [prepare_batch(task, *batch(), KEYS[:8], (seed,))[0] for seed in (3, 3, 4)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_counting_takes_the_larger_part_of_a_mixed_target() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert ClassificationTask.count_correct(logits, torch.tensor([0, 0])) == 1
    assert ClassificationTask.count_correct(logits, torch.tensor([[0.6, 0.4], [0.3, 0.7]])) == 2


def test_erasing_follows_the_image_not_its_place_in_the_batch() -> None:
    """What one process erases, another number of processes erases too."""
    images, _ = batch(8)
    whole = build(random_erasing=0.9).prepare(images, KEYS[:8])
    parts = [
        build(random_erasing=0.9).prepare(images[rows], [KEYS[r] for r in rows]) for rows in ([0, 1, 6, 7], [2, 3])
    ]
    assert torch.equal(parts[0], whole[[0, 1, 6, 7]]) and torch.equal(parts[1], whole[[2, 3]])
    assert not torch.equal(build(random_erasing=0.9).prepare(images, KEYS[8:16]), whole)


def reference_loss(logits, logits_dist, targets, teacher, kind, alpha, temperature):
    """Distillation after Touvron et al. 2021 (hard) and Hinton et al. 2015 (soft), one image at a time."""
    total = 0.0
    for row in range(len(logits)):
        log_p = logits[row] - logits[row].exp().sum().log()
        label = -sum(float(targets[row, c]) * log_p[c] for c in range(log_p.numel()))
        if kind == "hard":
            log_q = logits_dist[row] - logits_dist[row].exp().sum().log()
            taught = -log_q[int(teacher[row].argmax())]
        else:
            wanted, found = (teacher[row] / temperature).exp(), (logits_dist[row] / temperature).exp()
            wanted, found = wanted / wanted.sum(), found / found.sum()
            taught = temperature**2 * (wanted * (wanted.log() - found.log())).sum()
        total += (1 - alpha) * label + alpha * taught
    return total / len(logits)


@pytest.mark.parametrize(("kind", "temperature"), [("hard", 1.0), ("soft", 1.0), ("soft", 3.0)])
def test_the_distillation_loss_equals_timms_and_a_reference(kind: str, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, logits_dist, teacher = (torch.randn(6, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    targets = torch.rand(6, 4, generator=generator, dtype=torch.float64).softmax(1)
    config = DistillationConfig(teacher="x", type=kind, alpha=0.3, temperature=temperature)
    ours = ClassificationTask(4, AugmentConfig(), PREPROCESSING, config).loss((logits, logits_dist), targets, teacher)
    wanted = reference_loss(logits, logits_dist, targets, teacher, kind, 0.3, temperature)
    torch.testing.assert_close(ours, wanted, atol=1e-12, rtol=0)
    timms = timm_loss(logits, logits_dist, targets, teacher, kind, temperature)
    torch.testing.assert_close(ours, timms, atol=1e-6, rtol=0)
    swapped = ClassificationTask(4, AugmentConfig(), PREPROCESSING, config).loss(
        (logits_dist, logits), targets, teacher
    )
    assert abs(float(swapped - wanted)) > 1e-3, "the heads have their parts"


def timm_loss(logits, logits_dist, targets, teacher, kind, temperature):
    """timm's own task on a student and a teacher that answer with the given logits."""

    class Answers(nn.Module):
        def __init__(self, answer: object) -> None:
            super().__init__()
            self.answer, self.num_classes, self.in_chans = answer, 4, 3
            self.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "num_classes": 4}

        def set_distilled_training(self, enable: bool = True) -> None:
            assert enable

        def forward(self, x: torch.Tensor) -> object:
            return self.answer

    task = TokenDistillationTask(
        Answers((logits, logits_dist)), DistillationTeacher(Answers(teacher), num_classes=4, in_chans=3),
        criterion=SoftTargetCrossEntropy(), distill_type=kind, task_loss_weight=0.7, temperature=temperature,
        verbose=False,
    )  # fmt: skip
    return task(torch.zeros(6, 3, 8, 8), targets)["loss"]


def test_without_a_teacher_nothing_is_distilled() -> None:
    logits, targets = torch.randn(4, 4), torch.arange(4)
    config = DistillationConfig(teacher="x")
    plain, taught = build(), ClassificationTask(4, AugmentConfig(label_smoothing=0.0), PREPROCESSING, config)
    assert torch.equal(plain.loss(logits, targets), taught.loss(logits, targets, None))
    assert not torch.equal(plain.loss(logits, targets), taught.loss(logits, targets, -logits))
