"""Do rare classes get the say that is claimed, and is drawing them repeatable?"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import write_images
from rapidnet.config import AugmentConfig
from rapidnet.data.balance import BalancedSampler, count_labels, weigh_classes, weigh_labels, weigh_samples
from rapidnet.data.folder import Sample, open_splits
from rapidnet.data.loading import EpochSampler, ImageFolder, build_loader
from rapidnet.data.transforms import Preprocessing, build_train_transform

SAMPLES = [Sample(f"{i}.png", label) for i, label in enumerate([0] * 80 + [1] * 16 + [2] * 4)]


def count_drawn(sampler: EpochSampler, epochs: int = 20) -> Counter:
    drawn: Counter = Counter()
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn.update(SAMPLES[key[1]].label for key in sampler)
    return drawn


def test_classes_are_drawn_equally_often_and_without_balancing_they_are_not() -> None:
    balanced = count_drawn(BalancedSampler(weigh_samples(SAMPLES, 3, 1.0), seed=0))
    assert all(count == pytest.approx(2000 / 3, rel=0.02) for count in balanced.values())
    assert count_drawn(EpochSampler(100, 0)) == {0: 1600, 1: 320, 2: 80}
    half = count_drawn(BalancedSampler(weigh_samples(SAMPLES, 3, 0.5), seed=0))
    roots = np.sqrt([80, 16, 4])
    assert [half[label] for label in range(3)] == pytest.approx(2000 * roots / roots.sum(), rel=0.03)


def test_an_image_is_drawn_as_often_as_expected_and_no_image_is_shut_out() -> None:
    weights = weigh_samples(SAMPLES, 3, 1.0)
    expected = 100 * weights / weights.sum()
    sampler, total = BalancedSampler(weights, seed=0), np.zeros(100)
    for epoch in range(40):
        sampler.set_epoch(epoch)
        times = np.bincount([key[1] for key in sampler], minlength=100)
        assert (np.abs(times - expected) < 1).all()
        total += times
    assert (total[:80] > 0).all()
    assert total[:80].std() > 1, "not the same images in every epoch"


def test_keys_follow_from_seed_and_epoch_and_number_repetitions() -> None:
    def keys(seed: int, epoch: int, start: int = 0) -> list[tuple[int, ...]]:
        sampler = BalancedSampler(weigh_samples(SAMPLES, 3, 1.0), seed)
        sampler.set_epoch(epoch, start)
        assert len(sampler) == len(list(sampler)) == 100 - start
        return list(sampler)

    assert keys(0, 3) == keys(0, 3) != keys(1, 3)
    assert keys(0, 3)[37:] == keys(0, 3, start=37)
    assert keys(0, 3) != keys(0, 4)
    assert len(set(keys(0, 3))) == 100
    again = [key for key in keys(0, 3) if key[1] == 99]
    assert again == [(3, 99), *[(3, 99, n) for n in range(1, len(again))]] and len(again) >= 8


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_an_image_drawn_again_looks_different_whatever_reads_it(tmp_path: Path) -> None:
    split = open_splits(write_images(tmp_path, {"a": 12, "b": 2}), 0.1, 0)[0]
    preprocessing = Preprocessing(32, 0.9, "bicubic", (0.5,) * 3, (0.5,) * 3)
    dataset = ImageFolder(split, build_train_transform(AugmentConfig(), preprocessing), seed=0)
    rare = next(i for i, sample in enumerate(split.samples) if sample.label == 1)
    views = [dataset[key][0] for key in ((0, rare), (0, rare), (0, rare, 1), (0, rare, 2), (1, rare, 1))]  # type: ignore[index]
    assert torch.equal(views[0], views[1])
    assert len({view.numpy().tobytes() for view in views}) == 4
    sampler = BalancedSampler(weigh_samples(split.samples, 2, 1.0), 0)
    read = [[b.images for b in build_loader(dataset, sampler, 4, workers, True)] for workers in (0, 2)]
    assert all(torch.equal(a, b) for a, b in zip(*read, strict=True))


def test_several_labels_count_by_their_rarest() -> None:
    samples = [Sample("a", (0,)), Sample("b", (0, 1)), Sample("c", ()), Sample("d", (0,)), Sample("e", (0,))]
    assert count_labels(samples, 3).tolist() == [4, 1, 0]
    assert weigh_samples(samples, 2, 1.0).tolist() == [0.25, 1, 0.25, 0.25, 0.25]


def test_class_weights_by_hand() -> None:
    # Cui et al.: (1 - beta) / (1 - beta^n), beta = 0.5: n = 1 -> 1, n = 2 -> 2/3; scaled to mean 1 over images.
    weights = weigh_classes(np.array([1, 2, 0]), 0.5)
    assert weights.tolist() == pytest.approx([9 / 7, 6 / 7, 0])
    counts = np.array([1000, 100, 10])
    assert weigh_classes(counts, 1e-9).tolist() == pytest.approx([1, 1, 1])
    assert (weigh_classes(counts, 1 - 1e-9) * counts).tolist() == pytest.approx([370] * 3, rel=1e-3)
    assert (weigh_classes(counts, 0.99) * counts).sum() == pytest.approx(1110)
    absent, present = weigh_labels(np.array([5, 50]), 100, 0.999)
    assert absent * [95, 50] + present * [5, 50] == pytest.approx([100, 100])
    assert present[0] > 5 * absent[0] and present[1] == pytest.approx(absent[1])
