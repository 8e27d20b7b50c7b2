"""Does the comparison with the plain recipe refuse what would make it void?"""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import plain_trainer
import throughput


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(2 * throughput.CLASSES):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
    return tmp_path


@pytest.fixture
def linked(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("linked")
    assert throughput.link_pictures(photographs, root, 100) == 2 * throughput.CLASSES
    return root


def parse(*arguments: str) -> throughput.argparse.Namespace:
    return throughput.parse(["--data", "x", "--batch-size", "4", "--image-size", "32", *arguments])


def test_both_sides_augment_alike_and_a_difference_is_seen(linked: Path) -> None:
    plain = throughput.Plain(linked, parse(), 1, mixing=False)
    ours = throughput.Ours(linked, parse(), 1, mixing=False)
    settings = [side.describe_augmentation() for side in (plain, ours)]
    assert throughput.compare_augmentation(*settings) == []
    for change in ({"hflip": 0.4}, {"fill": [128, 128, 128]}, {"rand_augment": settings[0]["rand_augment"][1:]}):
        assert throughput.compare_augmentation(settings[0], settings[1] | change)
    ours.prepare_batch(), plain.prepare_batch()
    assert plain.parts(4).keys() == ours.parts(4).keys()


def test_a_busy_machine_is_refused(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(throughput.os, "getloadavg", lambda: (4.0, 1.0, 1.0))
    assert throughput.main(["--data", str(photographs)]) == throughput.BUSY
    assert "--allow-busy" in capsys.readouterr().err


def test_summary() -> None:
    row = throughput.summarize({"plain": [(4.0, 2.0), (6.0, 2.0)], "ours": [(2.0, 1.0), (2.0, 1.0)]}, 10)
    assert (row["ratio"], row["cpu_ratio"], row["cpu_ratio_interval"]) == (2.5, 2.0, [2.0, 2.0])
    assert row["plain"]["images_per_s"] == 2.0


def test_posterize_is_mended() -> None:
    transform = plain_trainer.build_plain_transform(32)
    posterize = next(o for o in transform.transforms[2].ops if o.name == "PosterizeIncreasing")
    assert np.asarray(posterize.aug_fn(Image.new("RGB", (4, 4), "white"), 0)).max() == 0
