"""Is the segmenter the paper's Semantic FPN, at every size, and are mistakes said in one sentence?"""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rapidnet
from conftest import TINY, randomize
from models.dense import small_segmenter
from rapidnet.errors import UserError
from rapidnet.models.features import find_batch_norms
from rapidnet.models.segmentation import FullSizeSegmenter


def compute_by_hand(segmenter: Any, image: Tensor, align_corners: bool = False) -> Tensor:
    """Semantic FPN in functions alone, from the segmenter's weights by their names."""
    state = segmenter.state_dict()

    def conv(x: Tensor, name: str, padding: int = 0) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=padding)

    def double(x: Tensor) -> Tensor:
        size = [2 * side for side in x.shape[2:]]
        return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)

    features = segmenter.backbone.features(image)
    laterals = [conv(x, f"backbone.fpn.inner_blocks.{i}.0") for i, x in enumerate(features)]
    for i in (2, 1, 0):
        laterals[i] = laterals[i] + F.interpolate(laterals[i + 1], laterals[i].shape[2:], mode="nearest")
    total: Any = 0
    for level, lateral in enumerate(laterals):
        x = conv(lateral, f"backbone.fpn.layer_blocks.{level}.0", padding=1)
        for step in range(max(1, level)):
            # A doubling behind each convolution, where there is any, is an entry of its own.
            name = f"scale_heads.{level}.{2 * step if level else 0}"
            norm = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            x = F.batch_norm(conv(x, f"{name}.conv", padding=1), *norm).relu()
            x = double(x) if level else x
        if level and x.shape != total.shape:
            x = F.interpolate(x, total.shape[2:], mode="bilinear", align_corners=align_corners)
        total = total + x
    return conv(total, "classifier")


@pytest.mark.parametrize("size", [(64, 96), (97, 131)])
@torch.inference_mode()
def test_it_is_semantic_fpn(size: tuple[int, int]) -> None:
    segmenter = randomize(small_segmenter(num_classes=5)).double()
    image = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = segmenter(image)
    assert logits.shape == (2, 5, -(-size[0] // 4), -(-size[1] // 4))
    expected = compute_by_hand(segmenter, image)
    assert float((logits - expected).abs().max() / expected.abs().max()) < 1e-12
    aligned = compute_by_hand(segmenter, image, align_corners=True)
    assert float((logits - aligned).abs().max() / expected.abs().max()) > 1e-3


@torch.inference_mode()
def test_the_full_size_is_bilinear() -> None:
    segmenter: Any = randomize(small_segmenter())
    image = torch.randn(1, 3, 70, 50, generator=torch.Generator().manual_seed(0))
    full = FullSizeSegmenter(segmenter).eval()(image)
    assert full.shape == (1, 3, 70, 50)
    expected = F.interpolate(segmenter(image), (70, 50), mode="bilinear", align_corners=False)
    assert torch.equal(full, expected)
    exported = torch.export.export(FullSizeSegmenter(segmenter).eval(), (image,)).module()
    assert torch.allclose(exported(image), full, atol=1e-5)


def test_the_released_segmenter_has_the_papers_numbers() -> None:
    with torch.device("meta"):
        segmenter: Any = rapidnet.create_segmenter("rapidnet_b", 150)
    assert segmenter.backbone.out_channels == 256 and segmenter.backbone.features.channels == [64, 128, 224, 416]
    assert segmenter.classifier.weight.shape == (150, 128, 1, 1) and segmenter.drop.p == 0.1
    assert isinstance(segmenter.drop, nn.Dropout2d)
    for level, head in enumerate(segmenter.scale_heads):
        convs = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
        doublings = [layer for layer in head if isinstance(layer, nn.Upsample)]
        assert len(convs) == max(1, level) and len(doublings) == level
        assert all(conv.kernel_size == (3, 3) and conv.out_channels == 128 and conv.bias is None for conv in convs)
        assert all(layer.scale_factor == 2 and layer.align_corners is False for layer in doublings)


def test_training_reaches_every_weight_and_drops_whole_channels() -> None:
    segmenter: Any = small_segmenter(drop_rate=0.5).train()
    seen: list[Tensor] = []
    segmenter.drop.register_forward_hook(lambda _, inputs, output: seen.append(output))
    segmenter(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in segmenter.parameters())
    dropped = (seen[0] == 0).flatten(2).all(dim=2)
    assert dropped.any() and not dropped.all()
    assert all(norm.training for norm in find_batch_norms(segmenter))
    frozen: Any = small_segmenter(freeze_batch_norm=True).train()
    assert not any(norm.training for norm in find_batch_norms(frozen.backbone.features))
    assert all(norm.training for norm in find_batch_norms(frozen.scale_heads)), "the head's own learn"


def test_any_timm_network_is_a_backbone() -> None:
    segmenter = rapidnet.create_segmenter("mobilenetv2_050", 2, pyramid_channels=8, head_channels=8).eval()
    assert segmenter(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"backbone": "rapidnet_tiny"}, "did you mean 'rapidnet_ti'"),
        ({"backbone": "vit_tiny_patch16_224", "backbone_options": {}}, "strides 16, 16, 16"),
        ({"drop_rate": 1.0}, "drop_rate 1.0 make no segmenter"),
        ({"head_channels": 0}, "channels from 1 on"),
        ({"checkpoint": "a.pth", "backbone_checkpoint": "b.pth"}, "not both"),
    ],
)
def test_mistakes_are_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        rapidnet.create_segmenter(
            **{"backbone": "rapidnet_ti", "num_classes": 2, "backbone_options": TINY, **arguments}
        )
    assert "\n" not in str(error.value)


def test_what_segmentation_models_pytorch_asks_of_a_backbone() -> None:
    """Its encoder builds features on the meta device, reads their strides and asks for four of them."""
    with torch.device("meta"):
        info = timm.create_model("rapidnet_ti", features_only=True).feature_info
    assert info.reduction() == [4, 8, 16, 32] and len(info.channels()) == 4
    options: dict[str, Any] = {"in_chans": 4, "pretrained": False, "out_indices": (0, 1, 2, 3)}
    features = timm.create_model("rapidnet_ti", features_only=True, **options)(torch.zeros(1, 4, 64, 64))
    assert [feature.shape[3] for feature in features] == [16, 8, 4, 2]


@pytest.mark.parametrize("decoder", ["Unet", "FPN"])
def test_segmentation_models_pytorch_takes_it_as_an_encoder(decoder: str) -> None:
    reason = "segmentation_models_pytorch is not installed; it comes with the dev extra"
    smp = pytest.importorskip("segmentation_models_pytorch", reason=reason)
    model = getattr(smp, decoder)("tu-rapidnet_ti", encoder_weights=None, classes=3).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert model(image).shape == (1, 3, 64, 64)
        ours = timm.create_model("rapidnet_ti", features_only=True).eval()
        ours.load_state_dict(model.encoder.model.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(model.encoder(image)[2:], ours(image), strict=True))
