"""Do the paper's two-stage detectors train, answer, and leave the backbone's BatchNorm alone?"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from models.dense import small_detector, two_scenes
from rapidnet.models.features import find_batch_norms

LOSSES = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}


def take_step(detector: nn.Module) -> dict[str, Tensor]:
    images, targets = two_scenes()
    losses: dict[str, Tensor] = detector.train()(images, targets)
    torch.stack(list(losses.values())).sum().backward()
    torch.optim.SGD(detector.parameters(), 0.1).step()
    return losses


@pytest.mark.parametrize("kind", ["mask_rcnn", "faster_rcnn"])
def test_losses_and_answers(kind: str) -> None:
    detector = small_detector(kind, score_threshold=0.0)
    losses = take_step(detector)
    assert set(losses) == LOSSES | ({"loss_mask"} if kind == "mask_rcnn" else set())
    assert all(torch.isfinite(loss) for loss in losses.values())
    trained = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    images, _ = two_scenes()
    with torch.inference_mode():
        answers = detector.eval()(images)
    for image, answer in zip(images, answers, strict=True):
        assert set(answer) == {"boxes", "scores", "labels"} | ({"masks"} if kind == "mask_rcnn" else set())
        assert len(answer["boxes"]) == 100 and answer["labels"].min() >= 0 and answer["labels"].max() <= 2
        limit = torch.tensor([image.shape[2], image.shape[1]] * 2)
        assert (answer["boxes"] >= 0).all() and (answer["boxes"] <= limit + 1e-3).all()
        if "masks" in answer:
            assert answer["masks"].shape == (100, 1, *image.shape[1:])
            assert answer["masks"].min() >= 0 and answer["masks"].max() <= 1


def batch_norm_state(detector: Any) -> list[Tensor]:
    return [
        value.clone() for norm in find_batch_norms(detector.backbone.features) for value in norm.state_dict().values()
    ]


@pytest.mark.parametrize("synchronised", [False, True])
def test_the_backbones_batch_norm_is_frozen(synchronised: bool) -> None:
    detector: Any = small_detector()
    if synchronised:  # the released code froze nothing once this was done
        detector = nn.SyncBatchNorm.convert_sync_batchnorm(detector)
    before = batch_norm_state(detector)
    take_step(detector)
    norms = find_batch_norms(detector.backbone.features)
    assert len(norms) > 20 and not any(norm.training for norm in norms) and detector.backbone.features.training
    assert all(parameter.grad is None for norm in norms for parameter in norm.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, batch_norm_state(detector), strict=True))
    stem: Any = detector.backbone.features.body["stem_0"]
    assert stem.conv.weight.grad is not None, "the convolutions do learn"


def test_batch_norm_that_is_not_frozen_changes() -> None:
    detector: Any = small_detector(freeze_batch_norm=False)
    before = batch_norm_state(detector)
    take_step(detector)
    norms = find_batch_norms(detector.backbone.features)
    assert all(norm.training for norm in norms)
    assert all(parameter.grad is not None for norm in norms for parameter in norm.parameters())
    after = batch_norm_state(detector)
    assert not any(torch.equal(before[i], after[i]) for i in range(2, len(before), 5)), "every running mean"


def test_labels_count_from_zero_and_targets_are_left_alone() -> None:
    detector: Any = small_detector("faster_rcnn")
    images, targets = two_scenes()
    seen = []
    take = detector.roi_heads.select_training_samples
    detector.roi_heads.select_training_samples = lambda p, t: seen.append(t[0]["labels"].tolist()) or take(p, t)
    detector.train()(images, targets)
    assert seen == [[1, 3]], "0 is the background within"
    assert targets[0]["labels"].tolist() == [0, 2] and targets[0]["boxes"].tolist()[0] == [8, 8, 40, 40]


def test_the_last_layers_begin_as_small_as_the_released_ones() -> None:
    heads: Any = small_detector(box_width=256).roi_heads
    state = heads.state_dict()
    assert float(state["box_predictor.cls_score.weight"].std()) == pytest.approx(0.01, rel=0.2)
    assert float(state["box_predictor.bbox_pred.weight"].std()) == pytest.approx(0.001, rel=0.2)
    assert not any(value.any() for name, value in state.items() if name.endswith("bias"))


def test_it_learns_one_scene() -> None:
    detector: Any = small_detector(freeze_batch_norm=False, pyramid_channels=16, box_width=32, mask_channels=16)
    images, targets = two_scenes()
    optimizer = torch.optim.AdamW(detector.parameters(), 3e-3, weight_decay=0)
    detector.train()
    for _ in range(60):
        loss = torch.stack(list(detector(images[:1], targets[:1]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        (answer,) = detector.eval()(images[:1])
    for box, label, mask in zip(*(targets[0][key] for key in ("boxes", "labels", "masks")), strict=True):
        best = int(torch.where(answer["labels"] == label)[0][0])
        assert float(box_iou(answer["boxes"][best : best + 1], box[None])) > 0.5 < float(answer["scores"][best])
        found = answer["masks"][best, 0] > 0.5
        assert int((found & (mask > 0)).sum()) / int((found | (mask > 0)).sum()) > 0.5
