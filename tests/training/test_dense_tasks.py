"""Do detectors and segmenters learn from the losses that their papers name, computed as by hand?"""

import math

import pytest
import torch
from torch import Tensor, nn

from conftest import TINY
from rapidnet.data.dense_loading import CollateSegmentation, ObjectBatch
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.models.dense import DenseNetwork
from rapidnet.training.dense_tasks import DetectionTask, SegmentationTask
from rapidnet.training.distributed import zero_loss

PREPROCESSING = DensePreprocessing(32, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), align=True)


def test_the_loss_of_pixels_equals_a_hand_computed_case() -> None:
    # Two classes, two pixels with a class and one without; logits 0 and ln 3 are probabilities 1/4 and 3/4.
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 1] = math.log(3)
    targets = torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
    by_hand = (-math.log(3 / 4) - math.log(1 / 4)) / 2
    assert float(SegmentationTask(PREPROCESSING).loss(logits, targets)) == pytest.approx(by_hand, abs=1e-6)


def test_pixels_without_a_class_do_not_train() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    nothing = torch.full((2, 8, 8), 255, dtype=torch.uint8)
    loss = SegmentationTask(PREPROCESSING).loss(logits, nothing)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()  # type: ignore[union-attr]
    one = nothing.clone()
    one[0, 0, 0] = 2
    assert SegmentationTask(PREPROCESSING).loss(logits, one).item() > 0


def test_logits_are_interpolated_to_the_mask_between_pixel_centres() -> None:
    logits = torch.tensor([[[[0.0, 4.0]], [[0.0, 0.0]]]])
    targets = torch.zeros(1, 1, 4, dtype=torch.uint8)
    # Centres 0.25, 0.75, 1.25, 1.75 in units of a logit, of which 0.5 and 1.5 are the centres: 0, 1, 3, 4.
    by_hand = sum(math.log(1 + math.exp(-value)) for value in (0.0, 1.0, 3.0, 4.0)) / 4
    assert float(SegmentationTask(PREPROCESSING).loss(logits, targets)) == pytest.approx(by_hand, abs=1e-6)
    aligned = sum(math.log(1 + math.exp(-value)) for value in (0.0, 4 / 3, 8 / 3, 4.0)) / 4
    assert abs(by_hand - aligned) > 1e-3


def test_right_pixels_are_counted_as_parts_of_pictures() -> None:
    logits = torch.zeros(2, 2, 1, 2)
    logits[:, 1, 0, 0] = 1
    targets = torch.tensor([[[1, 0]], [[0, 255]]], dtype=torch.uint8)
    assert SegmentationTask.count_correct(logits, targets) == pytest.approx(2 * 2 / 3)


def test_padding_becomes_zero_and_does_not_train() -> None:
    image = torch.full((3, 20, 40), 255, dtype=torch.uint8)
    mask = torch.zeros(20, 40, dtype=torch.uint8)
    batch = CollateSegmentation(32, PREPROCESSING.fill)([((0, 0), (image, {"semantic": mask}))])
    images, masks = SegmentationTask(PREPROCESSING).read(batch)
    inputs = SegmentationTask(PREPROCESSING).prepare(images, batch.good_keys)
    assert inputs.shape == (1, 3, 32, 64)
    assert float(inputs[..., :20, :40].min()) == pytest.approx(2) and float(inputs[..., 20:, :].abs().max()) < 0.02
    assert bool((masks[:, 20:] == 255).all()) and bool((masks[:, :20, :40] == 0).all())


class Losses(nn.Module):
    """Answers with losses that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        self.images, self.targets = images, targets
        return {"classification": 0.25 * self.weight[0], "boxes": 0.5 * self.weight[0]}


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_a_detectors_losses_are_summed(task: str) -> None:
    network, subject = Losses(), DetectionTask(task)
    targets = {
        "image_id": 3, "size": (8, 8), "boxes": torch.zeros(1, 4), "labels": torch.tensor([1]),
        "iscrowd": torch.tensor([False]), "masks": torch.zeros(1, 8, 8, dtype=torch.bool),
    }  # fmt: skip
    batch = ObjectBatch([torch.full((3, 8, 8), 255, dtype=torch.uint8)], [targets], [], [(0, 0)], [(0, 0)])  # type: ignore[list-item]
    images, wanted = subject.read(batch)
    output = subject.forward(network, subject.prepare(images, batch.good_keys), wanted)
    assert subject.loss(output, wanted).item() == 0.75
    assert float(network.images[0].max()) == 1.0
    assert set(network.targets[0]) == {"boxes", "labels", "masks"}


@pytest.mark.parametrize(("task", "head"), [("detect", "fcos"), ("detect", "faster_rcnn"), ("instance", "mask_rcnn")])
def test_a_process_without_pictures_still_reaches_every_weight(task: str, head: str) -> None:
    network = DenseNetwork(task, head, "rapidnet_ti", 3, 64, 64, {}, dict(TINY)).build().train()  # type: ignore[arg-type]
    subject = DetectionTask(task)
    loss = zero_loss(subject.forward(network, [], []))
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.parameters())
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert any(name.startswith("backbone.features.body.stem") for name in reached)
