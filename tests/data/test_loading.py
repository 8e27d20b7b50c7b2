"""Do batches come in an order that can be repeated and entered in the middle, and do bad images follow the policy?"""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from conftest import hash_folder, tiny_config, write_images
from rapidnet.config import AugmentConfig
from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.folder import open_splits
from rapidnet.data.loading import Batch, EpochSampler, ImageFolder, build_loader
from rapidnet.data.transforms import Preprocessing, build_train_transform
from rapidnet.errors import UserError
from rapidnet.training.train import run_train

PREPROCESSING = Preprocessing(32, 0.9, "bicubic", (0.5,) * 3, (0.5,) * 3)


def open_folder(photos: Path, seed: int = 0) -> ImageFolder:
    transform = build_train_transform(AugmentConfig(rand_augment="rand-m9-mstd0.5-inc1"), PREPROCESSING)
    return ImageFolder(open_splits(photos, 0.1, 0)[0], transform, seed)


def read(dataset: ImageFolder, epoch: int = 0, start: int = 0, workers: int = 0) -> list[Tensor]:
    sampler = EpochSampler(len(dataset), seed=0)
    sampler.set_epoch(epoch, start)
    return [batch.images for batch in build_loader(dataset, sampler, 4, workers, train=True)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_order_and_augmentation_repeat_and_change_with_the_epoch(photos: Path) -> None:
    dataset = open_folder(photos)
    assert same(read(dataset), read(dataset))
    assert not same(read(dataset), read(dataset, epoch=1))
    assert not same(read(dataset), read(open_folder(photos, seed=1)))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_change_nothing(photos: Path) -> None:
    assert same(read(open_folder(photos)), read(open_folder(photos), workers=2))


def test_a_sample_does_not_depend_on_its_company(photos: Path) -> None:
    dataset, other = open_folder(photos), open_folder(photos)
    expected = [dataset[0, index] for index in range(6)]
    for index in (5, 0, 3):
        torch.rand(index)
        got, want = other[0, index], expected[index]
        assert not isinstance(got, BadSample) and not isinstance(want, BadSample)
        assert torch.equal(got[0], want[0])
    assert not torch.equal(other[1, 0][0], expected[0][0])


def test_batches_come_in_channels_last_memory(photos: Path) -> None:
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in read(open_folder(photos)))


def test_an_epoch_is_entered_in_its_middle(photos: Path) -> None:
    dataset = open_folder(photos)
    assert same(read(dataset)[2:], read(dataset, start=8))


def test_sampler_visits_everything_once() -> None:
    sampler = EpochSampler(10, seed=3)
    sampler.set_epoch(2)
    keys = list(sampler)
    assert sorted(index for _, index in keys) == list(range(10))
    assert {epoch for epoch, _ in keys} == {2}
    assert [index for _, index in EpochSampler(4, 0, shuffle=False)] == [0, 1, 2, 3]


def test_incomplete_last_batch() -> None:
    scenes = BuiltinScenes("val", 10, 32)
    sizes = {
        train: [len(b.targets) for b in build_loader(scenes, EpochSampler(10, 0), 4, 0, train)]
        for train in (True, False)
    }
    assert sizes == {True: [4, 4], False: [4, 4, 2]}
    assert [len(b.targets) for b in build_loader(scenes, EpochSampler(10, 0), 64, 0, train=True)] == [10]


def test_bad_images_stay_out_of_the_batch_and_are_named(photos: Path) -> None:
    bad = photos / "train" / "red" / "3.png"
    bad.write_bytes(b"no image")
    dataset = open_folder(photos)
    batches = list(build_loader(dataset, EpochSampler(len(dataset), 0), 4, 0, train=True))
    assert sum(len(batch.targets) for batch in batches) == 23
    assert sum(len(batch.keys) for batch in batches) == 24
    assert [sample.path for batch in batches for sample in batch.bad] == [str(bad)]


def test_policies(tmp_path: Path, photos: Path) -> None:
    bad = photos / "train" / "red" / "3.png"
    bad.write_bytes(b"no image")
    dataset = open_folder(photos)
    found = [s for b in build_loader(dataset, EpochSampler(len(dataset), 0), 4, 0, train=True) for s in b.bad]
    with pytest.raises(UserError, match=r"3\.png"):
        BadSampleLog("error", tmp_path / "q.txt").record(found)
    for policy in ("skip", "quarantine"):
        log = BadSampleLog(policy, tmp_path / "q.txt")
        log.record(found)
        log.record(found)
        assert list(log.paths) == [str(bad)]
        assert (tmp_path / "q.txt").exists() == (policy == "quarantine")
    assert (tmp_path / "q.txt").read_text() == f"{bad}\n"


def test_one_percent_of_corrupt_files_leaves_the_good_ones_as_they_are(tmp_path: Path) -> None:
    """Whatever reads them: the other images of a batch, and all other batches, are those of the whole folder."""
    run, tmp_path = tmp_path / "run", tmp_path / "photos"
    write_images(tmp_path / "train", {"a": 100, "b": 100})
    write_images(tmp_path / "val", {"a": 2, "b": 2})

    def read_batches(workers: int) -> list[Batch]:
        dataset = open_folder(tmp_path)
        sampler = EpochSampler(len(dataset), 3)
        sampler.set_epoch(1)
        return list(build_loader(dataset, sampler, 16, workers, train=True))

    clean = read_batches(0)
    for name in ("a/17.png", "b/90.png"):
        path = tmp_path / "train" / name
        path.write_bytes(path.read_bytes()[:40])
    before = hash_folder(tmp_path)
    damaged = [read_batches(workers) for workers in (0, 1, 3)]
    touched = 0
    for batches in damaged:
        for whole, batch in zip(clean, batches, strict=True):
            good = [row for row, key in enumerate(whole.keys) if key in batch.good_keys]
            assert torch.equal(whole.images[good], batch.images) and torch.equal(whole.targets[good], batch.targets)
            touched += len(whole.keys) - len(good)
            assert len(batch.bad) == len(whole.keys) - len(good)
    assert touched == 6, "both files were met, each time"
    config = tiny_config(tmp_path, run, batch_size=16, epochs=1, bad_samples="quarantine")
    config.optimizer.warmup_epochs = 0
    assert run_train(config, Console(quiet=True)) == 0
    assert hash_folder(tmp_path) == before, "the folder is only read"
    assert len((run / "quarantine.txt").read_text().splitlines()) == 2


@pytest.mark.parametrize("train", [True, False])
def test_a_dataset_can_be_sent_to_a_worker_process(photos: Path, train: bool) -> None:
    """Where processes are spawned, not forked (macOS, newer Pythons), workers get it by pickle."""
    dataset = open_folder(photos) if train else ImageFolder(open_splits(photos, 0.1, 0)[1], PREPROCESSING, 0)
    again = pickle.loads(pickle.dumps(dataset))
    for index in range(5):
        first, second = dataset[(0, index)], again[(0, index)]
        assert not isinstance(first, BadSample) and torch.equal(first[0], second[0])


# Two workers of a loader that is waited for by nobody; their numbers are printed once they work.
LOADER = """
import sys, time, torch
from rapidnet.data.loading import EpochSampler, build_loader

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, key):
        return torch.zeros(3, 4, 4, dtype=torch.uint8), 0

if __name__ == "__main__":
    torch.multiprocessing.set_start_method(sys.argv[1])
    loader = build_loader(Numbers(), EpochSampler(8, seed=0, shuffle=False), 2, workers=2, train=False)
    batches = iter(loader)
    next(batches)
    print(*[worker.pid for worker in batches._workers], flush=True)
    time.sleep(100)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.slow), "spawn"])
def test_workers_end_with_the_process_they_work_for(method: str, tmp_path: Path) -> None:
    (tmp_path / "loader.py").write_text(LOADER)
    process = subprocess.Popen([sys.executable, tmp_path / "loader.py", method], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    workers = [Path(f"/proc/{pid}") for pid in process.stdout.readline().split()]
    assert len(workers) == 2 and all(worker.exists() for worker in workers)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(is_running(worker) for worker in workers):
        time.sleep(0.1)
    assert not any(is_running(worker) for worker in workers)


def is_running(process: Path) -> bool:
    """A process that nobody has buried yet does not count."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
