"""Does any timm network become a pyramid of features, with BatchNorm as asked for?"""

from typing import Any

import pytest
import timm
import torch
from torch import nn
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from conftest import TINY
from rapidnet.errors import UserError
from rapidnet.models.features import FeatureBackbone, PyramidBackbone, build_backbone

STRIDES = (4, 8, 16, 32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rapidnet_ti", TINY),
        ("mobilenetv2_050", {}),  # begins at stride 2
        ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}),  # no BatchNorm
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "depths": (1, 1, 1, 1), "embed_dim": 12}),  # channels last
    ],
)
def test_features_have_the_strides(name: str, options: dict[str, Any]) -> None:
    backbone = FeatureBackbone(name, STRIDES, **options)
    features = backbone.eval()(torch.zeros(2, 3, 64, 64))
    assert [list(feature.shape) for feature in features] == [
        [2, channels, 64 // stride, 64 // stride] for channels, stride in zip(backbone.channels, STRIDES, strict=True)
    ]
    assert backbone.mean == (0.485, 0.456, 0.406) and backbone.std == (0.229, 0.224, 0.225)


def test_some_strides_can_be_left_out() -> None:
    backbone = FeatureBackbone("rapidnet_ti", (8, 32), **(TINY | {"channels": [8, 16, 24, 32]}))
    assert backbone.channels == [16, 32]
    assert [feature.shape[3] for feature in backbone(torch.zeros(1, 3, 64, 64))] == [8, 2]


def test_the_pyramid_has_an_extra_level() -> None:
    backbone = FeatureBackbone("rapidnet_ti", STRIDES, **TINY)
    levels = PyramidBackbone(backbone, 8, LastLevelMaxPool())(torch.zeros(1, 3, 96, 64))
    assert {name: list(level.shape[1:]) for name, level in levels.items()} == {
        "0": [8, 24, 16], "1": [8, 12, 8], "2": [8, 6, 4], "3": [8, 3, 2], "pool": [8, 2, 1],
    }  # fmt: skip
    assert torch.equal(levels["pool"], levels["3"][:, :, ::2, ::2])


def test_freezing_reaches_timms_own_kinds_of_batch_norm() -> None:
    backbone = FeatureBackbone("mobilenetv2_050", STRIDES, freeze_batch_norm=True).train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms and not any(norm.training or norm.weight.requires_grad for norm in norms)
    thawed = FeatureBackbone("mobilenetv2_050", STRIDES).train()
    assert all(module.training for module in thawed.modules())


def test_weights_come_from_a_checkpoint(tmp_path: Any) -> None:
    model = timm.create_model("rapidnet_ti", num_classes=7, **TINY)
    torch.save(model.state_dict(), tmp_path / "classifier.pth")
    backbone: Any = FeatureBackbone("rapidnet_ti", STRIDES, checkpoint=tmp_path / "classifier.pth", **TINY)
    assert torch.equal(backbone.body["stages_3"][0].conv.weight, model.stages[3][0].conv.weight)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rapidnet_tiny", {}, "did you mean 'rapidnet_ti'"),
        ("vit_tiny_patch16_224", {}, "strides 16, 16, 16; 4, 8, 16, 32 are needed"),
        ("rapidnet_ti", {"dilation_rates": (1,)}, "dilation_rates"),
        ("rapidnet_ti", {"checkpoint": "absent.pth"}, "absent.pth does not exist"),
    ],
)
def test_mistakes_are_one_sentence(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        FeatureBackbone(name, STRIDES, **options)


def test_nothing_to_freeze_is_said_only_where_it_was_asked_for() -> None:
    small: dict[str, Any] = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}
    build_backbone("convnext_atto", STRIDES, None, True, None, True, small)
    with pytest.raises(UserError, match="has no BatchNorm to freeze"):
        build_backbone("convnext_atto", STRIDES, True, True, None, True, small)
