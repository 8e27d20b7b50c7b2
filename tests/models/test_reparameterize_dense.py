"""Are folded detectors and segmenters the same functions, and would a wrong folding be noticed?"""

from copy import deepcopy
from typing import Any

import pytest
import torch
from timm.layers import LayerScale2d
from torch import Tensor, nn

import rapidnet
from conftest import randomize
from models.dense import ONE_STAGE, TWO_STAGE, small_detector, small_segmenter
from rapidnet.errors import UserError
from rapidnet.models.exportable_detector import ExportableDetector
from rapidnet.models.fold_any import fold_any
from rapidnet.models.rapidnet import RepDepthwiseConv
from rapidnet.models.reparameterize import is_folded
from rapidnet.models.segmentation import FullSizeSegmenter

KINDS = ("mask_rcnn", "faster_rcnn", "fcos", "segmenter")
# One kind for each, so that every variant is folded inside a larger network.
VARIANTS = (("rapidnet_ti", "fcos"), ("rapidnet_s", "segmenter"), ("rapidnet_m", "faster_rcnn"), ("rapidnet_b", "fcos"))


def build(kind: str, **options: Any) -> Any:
    model = small_segmenter(**options) if kind == "segmenter" else small_detector(kind, **options)
    return randomize(model).double()


def answer(model: nn.Module) -> list[Tensor]:
    """Everything a network answers for one image of odd size; detectors' raw maps as well as their boxes."""
    image = torch.rand(3, 70, 61, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: Any, output: Any) -> None:
        found = output.values() if isinstance(output, dict) else [*output[0], *output[1]]
        seen.extend(found)

    raw: Any = model.rpn.head if hasattr(model, "rpn") else getattr(model, "head", None)
    hook = raw.register_forward_hook(note) if raw is not None else None
    with torch.inference_mode():
        if raw is None:
            return [model(image[None])]
        (boxes,) = model([image])
    hook.remove()  # type: ignore[union-attr]
    assert len(boxes["boxes"]) > 0
    return [*seen, *boxes.values()]


def difference(first: nn.Module, second: nn.Module) -> float:
    worst = 0.0
    for a, b in zip(answer(first), answer(second), strict=True):
        if a.shape != b.shape:
            return float("inf")
        worst = max(worst, float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)))
    return worst


@pytest.mark.parametrize("kind", KINDS)
def test_folded_is_equal_with_random_statistics(kind: str) -> None:
    model = build(kind)
    before = deepcopy(model.state_dict())
    folded = rapidnet.reparameterize(model)
    assert is_folded(folded) and not is_folded(model)
    assert not any(isinstance(module, LayerScale2d | RepDepthwiseConv) for module in folded.modules())
    assert difference(model, folded) < 1e-10
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "never in place"
    again = rapidnet.reparameterize(folded)
    assert again is not folded and difference(folded, again) == 0


@pytest.mark.parametrize(("name", "kind"), VARIANTS)
def test_every_variant(name: str, kind: str) -> None:
    torch.manual_seed(0)
    narrow: dict[str, Any] = ONE_STAGE if kind == "fcos" else TWO_STAGE
    model: nn.Module = (
        rapidnet.create_segmenter(name, 3, pyramid_channels=8, head_channels=8)
        if kind == "segmenter"
        else rapidnet.create_detector(name, 3, kind, **narrow)
    )
    model = randomize(model).double()
    assert difference(model, rapidnet.reparameterize(model)) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_refused_in_training_mode(kind: str) -> None:
    with pytest.raises(UserError, match=r"call .eval\(\)"):
        rapidnet.reparameterize(build(kind).train())


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("mask_rcnn", "stages_3.2.mixer.fc2.bn.running_var"),
        ("fcos", "fpn.inner_blocks.1.1.running_mean"),
        ("fcos", "class_tower.0.norms.1.running_mean"),
        ("fcos", "box_tower.1.norms.0.weight"),
        ("segmenter", "scale_heads.2.2.bn.running_var"),
        ("segmenter", "stem_0.bn.running_mean"),
    ],
)
def test_equality_notices_a_part_that_was_not_folded(kind: str, part: str) -> None:
    model = build(kind)
    wrong = deepcopy(model)
    with torch.no_grad():
        (name,) = (name for name in wrong.state_dict() if name.endswith(part))
        wrong.state_dict()[name].mul_(1.0001)
    assert difference(model, rapidnet.reparameterize(wrong)) > 1e-9


def test_levels_that_shared_a_convolution_have_their_own() -> None:
    folded: Any = rapidnet.reparameterize(build("fcos"))
    first, second, _ = folded.head.class_tower[0].norms
    assert isinstance(first, nn.Conv2d) and not torch.equal(first.weight, second.weight)


def test_wrappers_fold_with_what_they_hold() -> None:
    full = FullSizeSegmenter(build("segmenter")).eval()
    assert is_folded(rapidnet.reparameterize(full)) and difference(full, rapidnet.reparameterize(full)) < 1e-10
    graph = ExportableDetector(build("fcos"), (64, 64)).eval()
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        for a, b in zip(graph(pixels), rapidnet.reparameterize(graph)(pixels), strict=True):
            assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_other_backbones_fold_too(kind: str) -> None:
    torch.manual_seed(0)
    narrow: dict[str, Any] = ONE_STAGE if kind == "fcos" else TWO_STAGE
    model: nn.Module = (
        rapidnet.create_segmenter("resnet18", 3, pyramid_channels=8, head_channels=8)
        if kind == "segmenter"
        else rapidnet.create_detector("resnet18", 3, kind, **narrow)
    )
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    folded = fold_any(model)
    assert is_folded(folded) and not is_folded(model)
    assert difference(model, folded) < 1e-10
