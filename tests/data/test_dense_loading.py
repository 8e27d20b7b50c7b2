"""Are batches the same whoever reads them, and are pictures that cannot be used left out, named and bounded?"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dense_folders import HEIGHT, WIDTH, annotation, coco_content, write_coco, write_masks, write_picture

from conftest import hash_folder
from rapidnet.data.bad_samples import BadSample
from rapidnet.data.builtin_objects import BuiltinObjects
from rapidnet.data.dense_loading import CollateSegmentation, DenseDataset, collate_objects
from rapidnet.data.dense_samples import RecordSource
from rapidnet.data.dense_sources import open_dense
from rapidnet.data.dense_transforms import (
    DenseEvaluation,
    DetectionAugment,
    DetectionTrain,
    SegmentationAugment,
    SegmentationTrain,
)
from rapidnet.data.loading import EpochSampler, build_loader

AUGMENT = DetectionAugment((30, 40), 80, (0.8, 1.3), (32, 32))


def open_objects(root: Path) -> DenseDataset:
    split = open_dense(root, "instance", "skip", val_fraction=0.01, check_files=False).train
    return DenseDataset(RecordSource(split, "instance"), DetectionTrain(AUGMENT), seed=0)


def open_pixels(root: Path) -> DenseDataset:
    split = open_dense(root, "semantic", "skip", val_fraction=0.01, check_files=False).train
    augment = SegmentationAugment(40, 80, crop=(32, 48))
    return DenseDataset(RecordSource(split, "semantic"), SegmentationTrain(augment, (1, 2, 3)), seed=0)


def read(dataset: DenseDataset, collate: Any, workers: int = 0, epoch: int = 1) -> list[Any]:
    sampler = EpochSampler(len(dataset), seed=3)
    sampler.set_epoch(epoch)
    return list(build_loader(dataset, sampler, 4, workers, train=True, collate=collate))


def flatten(batch: Any) -> list[torch.Tensor]:
    tensors = [*batch.images]
    for targets in batch.targets:
        tensors += [value for value in targets.values() if isinstance(value, torch.Tensor)]
    return tensors


def same(first: list[Any], second: list[Any]) -> bool:
    pairs = [(flatten(a), flatten(b)) for a, b in zip(first, second, strict=True)]
    return all(len(a) == len(b) and all(map(torch.equal, a, b)) for a, b in pairs)


@pytest.mark.parametrize("kind", ["objects", "pixels"])
def test_bad_pictures_leave_the_good_ones_as_they_are_under_any_number_of_workers(tmp_path: Path, kind: str) -> None:
    if kind == "objects":
        write_coco(tmp_path, images=13)
        dataset, collate, where = open_objects, collate_objects, "train"
    else:
        write_masks(tmp_path, images=13)
        dataset, collate, where = open_pixels, CollateSegmentation(), "images/train"
    clean = read(dataset(tmp_path), collate)
    opened = dataset(tmp_path)
    damaged = [Path(opened.source.name(index)) for index in (2, 7)]
    damaged[0].write_bytes(damaged[0].read_bytes()[:40])
    write_picture(damaged[1], 0, WIDTH, HEIGHT)
    before = hash_folder(tmp_path)
    runs = [read(opened, collate, workers) for workers in (0, 2)]
    assert same(*runs) and not same(runs[0], read(opened, collate, epoch=2))
    for batches in runs:
        found = [sample.path for batch in batches for sample in batch.bad]
        assert sorted(found) == sorted(map(str, damaged)) and all(where in path for path in found)
        for whole, batch in zip(clean, batches, strict=True):
            assert whole.keys == batch.keys and len(batch.good_keys) == len(batch.images) == len(batch.targets)
            for key, image, targets in zip(batch.good_keys, batch.images, batch.targets, strict=True):
                row = whole.keys.index(key)
                assert torch.equal(whole.images[row], image)
                for name, value in targets.items():
                    if isinstance(value, torch.Tensor):
                        assert torch.equal(whole.targets[row][name], value)
    assert hash_folder(tmp_path) == before, "files are only read"


def test_messages_of_what_is_noticed_late(tmp_path: Path) -> None:
    write_masks(tmp_path, images=3)
    dataset = open_pixels(tmp_path)
    for mask in (tmp_path / "masks" / "train").iterdir():
        mask.unlink()
    bad = dataset[0, 0]
    assert isinstance(bad, BadSample) and "--bad-samples" in bad.message and bad.path == dataset.source.name(0)


def test_many_masks_of_a_large_picture_are_refused_not_drawn(tmp_path: Path) -> None:
    content = coco_content(2)
    content["annotations"] = [annotation(number, 1, (0, 0, 5, 5)) for number in range(1, 700)]
    for row in content["images"]:
        row.update(height=1500, width=1500)
    write_coco(tmp_path, content, images=2)
    for number in (1, 2):
        write_picture(tmp_path / "train" / f"{number}.png", number, 1500, 1500)
    found = open_dense(tmp_path, "instance", val_fraction=0.5)
    crowded = next(s for s in (found.train, found.val) if len(s.records[0].objects or ()))
    bad = DenseDataset(RecordSource(crowded, "instance"), DenseEvaluation(40, 60), 0)[0, 0]
    assert isinstance(bad, BadSample) and "699 masks of 1500x1500 pixels" in bad.message
    good = DenseDataset(RecordSource(crowded, "detect"), DenseEvaluation(40, 60), 0)[0, 0]
    assert not isinstance(good, BadSample) and len(good[1]["boxes"]) == 699


def test_padding_of_a_batch(tmp_path: Path) -> None:
    write_masks(tmp_path, images=3)
    write_picture(tmp_path / "images" / "train" / "1.png", 1, 50, 30)
    (tmp_path / "masks" / "train" / "1.png").unlink()
    split = open_dense(tmp_path, "semantic", "skip", holdout=True).train
    dataset = DenseDataset(RecordSource(split, "semantic"), DenseEvaluation(20, 100), 0)
    items = [((0, 0), dataset[0, 0]), ((0, 1), BadSample("a", "b"))]
    batch = CollateSegmentation(32, (7, 8, 9), stack_masks=False)(items)
    assert batch.masks is None and batch.sizes == [(20, 30)] and batch.images.shape == (1, 3, 32, 32)
    assert batch.images[0, :, 31, 31].tolist() == [7, 8, 9] and batch.targets[0]["semantic"].shape == (HEIGHT, WIDTH)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert (batch.good_keys, len(batch.bad)) == ([(0, 0)], 1)
    nothing = CollateSegmentation()([((0, 1), BadSample("a", "b"))])
    assert len(nothing.images) == 0 and nothing.masks is not None and len(nothing.masks) == 0
    assert collate_objects([((0, 1), BadSample("a", "b"))]).images == []
    train = read(open_pixels(tmp_path), CollateSegmentation(64, (7, 8, 9)))[0]
    assert train.masks.shape == (len(train.images), 64, 64) and (train.masks[:, 32:] == 255).all()


def test_built_in_scenes_come_in_batches_and_by_pickle() -> None:
    dataset = DenseDataset(BuiltinObjects("train", 8, 64, "instance", seed=5), DetectionTrain(AUGMENT), seed=5)
    again = pickle.loads(pickle.dumps(dataset))
    assert same(read(dataset, collate_objects), read(again, collate_objects))
    objects = [len(targets["boxes"]) for batch in read(dataset, collate_objects) for targets in batch.targets]
    assert sum(objects) > 4 and np.ptp(objects) > 0


def test_records_can_be_sent_to_a_worker_process(tmp_path: Path) -> None:
    write_coco(tmp_path)
    dataset = open_objects(tmp_path)
    first, second = dataset[0, 1], pickle.loads(pickle.dumps(dataset))[0, 1]
    assert not isinstance(first, BadSample) and torch.equal(first[0], second[0])
