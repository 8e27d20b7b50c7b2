"""Does a run do what it says about balance and groups, and resume it exactly?"""

import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from test_train import FULL, QUIET, same, stop_after

from conftest import tiny_config, write_images
from rapidnet.config import AugmentConfig, EvaluateConfig, TrainConfig
from rapidnet.data.folder import open_splits
from rapidnet.data.loading import Batch, ImageFolder
from rapidnet.data.transforms import Preprocessing, seed_all
from rapidnet.evaluation.evaluate import run_evaluate
from rapidnet.evaluation.trained import load_trained
from rapidnet.training import loop
from rapidnet.training.choose import describe_balance
from rapidnet.training.tasks import ClassificationTask
from rapidnet.training.train import run_train

PREPROCESSING = Preprocessing(32, 0.9, "bicubic", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Three classes of 16, 6 and 2 training images."""
    root = tmp_path / "uneven"
    write_images(root / "train", {"common": 16, "rare": 2, "some": 6})
    write_images(root / "val", {"common": 2, "rare": 2, "some": 2}, seed=1)
    return root


def count_seen(monkeypatch: pytest.MonkeyPatch, uneven: Path, run: Path, **options: object) -> Counter:
    seen: Counter = Counter()
    original = loop.train_batch

    def train_batch(run: loop.Run, batch: Batch, *args: object) -> None:
        seen.update(batch.targets.tolist())
        original(run, batch, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_batch", train_batch)
        run_train(tiny_config(uneven, run, **options), QUIET)
    return seen


def test_balancing_changes_what_a_run_sees(uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_seen(monkeypatch, uneven, tmp_path / "plain") == {0: 32, 1: 4, 2: 12}
    balanced = count_seen(monkeypatch, uneven, tmp_path / "balanced", balance="sampling")
    assert all(abs(balanced[label] - 16) <= 2 for label in range(3))


def test_a_balanced_run_resumes_exactly(uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_train(tiny_config(uneven, tmp_path / "whole", balance="sampling", **FULL), QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, 8)
        assert run_train(tiny_config(uneven, tmp_path / "cut", balance="sampling", **FULL), QUIET) == 130
    assert run_train(TrainConfig(resume=str(tmp_path / "cut")), QUIET) == 0
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_the_description_says_what_is_balanced(uneven: Path) -> None:
    dataset = ImageFolder(open_splits(uneven, 0.1, 0)[0], PREPROCESSING, 0)
    for options, said in (
        ({"balance": "sampling"}, "sampling (power 1), an image an epoch: 'rare' (2 images) 4.00 times, 'common' (16"),
        (
            {"balance": "loss", "balance_beta": 0.9},
            "images, beta 0.9), an image counts: 'rare' (2 images) 2.94, 'common' (16 images) 0.69",
        ),
    ):
        assert said in describe_balance(tiny_config(uneven, "run", **options), dataset)
    assert describe_balance(tiny_config(uneven, "run"), dataset) == ""


def test_a_run_prints_its_balance(uneven: Path, tmp_path: Path) -> None:
    console = Console(record=True, width=300, file=io.StringIO())
    run_train(tiny_config(uneven, tmp_path / "run", balance="loss"), console)
    assert "balanced by loss" in console.export_text()


def test_a_weighted_loss_by_hand() -> None:
    weights = np.array([0.5, 2.0, 4.0])
    task = ClassificationTask(3, AugmentConfig(label_smoothing=0.2), PREPROCESSING, weights=weights)
    logits, labels = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    each = [F.cross_entropy(logits[i], labels[i], label_smoothing=0.2) * weights[labels[i]] for i in range(5)]
    assert task.loss(logits, labels).item() == pytest.approx(float(sum(each)) / 5, rel=1e-6)


def test_a_mixed_image_counts_by_its_parts() -> None:
    weights = np.array([1.0, 3.0, 100.0])
    augment = AugmentConfig(label_smoothing=0.3, mixup=1.0)
    task = ClassificationTask(3, augment, PREPROCESSING, weights=weights)
    seed_all(0)
    _, targets = task.mix(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]))
    share = (targets[0, 0] - 0.1) / 0.7
    expected = torch.stack([share * 1 + (1 - share) * 3, share * 3 + (1 - share) * 1])
    torch.testing.assert_close(task.weigh(targets, torch.tensor([1.0, 3.0, 100.0])), expected)


def test_grouped_validation_is_opened_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = write_images(tmp_path / "photos", {"a": 12, "b": 12})
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_name(f"patient{int(path.stem) // 3}{path.parent.name}_{path.stem}.png"))
    config = tiny_config(root, tmp_path / "run", val_fraction=0.25, group_regex=r"patient(\w+)_", epochs=1)
    config.optimizer.warmup_epochs = 0
    run_train(config, QUIET)
    assert load_trained(tmp_path / "run").metadata["data"]["group_regex"] == r"patient(\w+)_"
    assert run_evaluate(EvaluateConfig(str(tmp_path / "run"), json=True, output=str(tmp_path / "out"))) == 0
    assert [facts["support"] for facts in json.loads(capsys.readouterr().out)["per_class"]] == [3, 3]
