"""Does the one-stage detector train and answer, with a BatchNorm for each level?"""

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import box_iou

from models.dense import small_detector, two_scenes
from rapidnet.models.one_stage import LevelConvNorm, join_levels


@pytest.mark.parametrize("depthwise", [True, False])
def test_losses_and_answers(depthwise: bool) -> None:
    detector: Any = small_detector("fcos", score_threshold=0.0, depthwise=depthwise)
    images, targets = two_scenes()
    losses = detector(images, targets)
    assert set(losses) == {"classification", "bbox_regression", "bbox_ctrness"}
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())
    with torch.inference_mode():
        answers = detector.eval()(images)
    for image, answer in zip(images, answers, strict=True):
        assert 0 < len(answer["boxes"]) <= 100 and set(answer["labels"].tolist()) <= {0, 1, 2}
        limit = torch.tensor([image.shape[2], image.shape[1]] * 2)
        assert (answer["boxes"] >= 0).all() and (answer["boxes"] <= limit + 1e-3).all()


def test_every_level_has_its_own_statistics_and_one_convolution() -> None:
    layer = LevelConvNorm(2, 3, 5, 3).train()
    assert len(list(layer.parameters())) == 1 + 2 * 2
    levels = [torch.randn(4, 3, 8, 8), torch.randn(4, 3, 4, 4) * 10 + 5]
    for _ in range(100):
        layer(levels)
    after = layer.eval()(levels)
    normal = layer.train()(levels)
    assert all(torch.allclose(a, b, atol=0.05) for a, b in zip(after, normal, strict=True)), "eval does as training did"
    # One BatchNorm for both would answer with statistics that neither level has.
    shared: Any = LevelConvNorm(1, 3, 5, 3).train()
    shared.load_state_dict({k: v for k, v in layer.state_dict().items() if "norms.1" not in k})
    for _ in range(100):
        for level in levels:
            shared([level])
    normal = [shared.train()([level])[0] for level in levels]
    mixed = [shared.eval()([level])[0] for level in levels]
    assert not any(torch.allclose(a, b, atol=0.5) for a, b in zip(mixed, normal, strict=True))


def test_answers_are_in_the_order_of_the_points() -> None:
    first, second = torch.arange(12.0).view(1, 2, 2, 3), 100 + torch.arange(2.0).view(1, 2, 1, 1)
    assert join_levels([first, second]).tolist() == [[[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11], [100, 101]]]


def test_it_begins_by_expecting_nothing() -> None:
    detector: Any = small_detector("fcos")
    logits = detector.eval().head([torch.zeros(1, 8, 2, 2)] * 3)["cls_logits"]
    assert logits.shape == (1, 12, 3) and torch.allclose(logits.sigmoid(), torch.tensor(0.01), atol=1e-3)


def test_no_weight_is_stored_twice() -> None:
    state = small_detector("fcos").state_dict()
    assert len({value.data_ptr() for value in state.values() if value.numel()}) == len(state)


def test_it_learns_one_scene() -> None:
    detector: Any = small_detector("fcos", pyramid_channels=16)
    images, targets = two_scenes()
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-2, weight_decay=0)
    for _ in range(60):
        loss = torch.stack(list(detector(images[:1], targets[:1]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimizer.step()
    with torch.inference_mode():
        (answer,) = detector.eval()(images[:1])
    for box, label in zip(targets[0]["boxes"], targets[0]["labels"], strict=True):
        best = int(torch.where(answer["labels"] == label)[0][0])
        assert float(box_iou(answer["boxes"][best : best + 1], box[None])) > 0.6
        assert float(answer["scores"][best]) > 0.5
