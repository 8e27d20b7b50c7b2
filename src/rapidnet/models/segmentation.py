"""What is Semantic FPN, the paper's segmentation network, on any timm backbone?

Source: Kirillov et al., Panoptic Feature Pyramid Networks, CVPR 2019: Sec. 3.1, in the form of mmsegmentation's
FPNHead, in which the released segmenters were trained; RapidNet: Sec. 4.3. The pyramid is torchvision's.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rapidnet.errors import UserError
from rapidnet.models.dense_checkpoints import check_request, load_dense_weights
from rapidnet.models.features import FeatureBackbone, PyramidBackbone, build_backbone
from rapidnet.models.rapidnet import ConvNorm

STRIDES = (4, 8, 16, 32)


class SemanticFPN(nn.Module):
    """Normalised images [B, 3, H, W] -> logits [B, num_classes, H / 4, W / 4], sides rounded up.

    Each level passes as many 3x3 layers (BatchNorm, ReLU) as it takes doublings to reach stride 4, at least one, with
    a bilinear doubling behind each; the sum is classified by a 1x1.
    """

    def __init__(
        self, backbone: FeatureBackbone, num_classes: int, pyramid_channels: int = 256, head_channels: int = 128,
        drop_rate: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.num_classes = PyramidBackbone(backbone, pyramid_channels), num_classes
        self.scale_heads = nn.ModuleList(build_scale_head(i, pyramid_channels, head_channels) for i in range(4))
        self.drop = nn.Dropout2d(drop_rate)
        self.classifier = nn.Conv2d(head_channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        self.classifier.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, images: Tensor) -> Tensor:
        levels = self.backbone(images).values()
        total, *others = (head(level) for head, level in zip(self.scale_heads, levels, strict=True))
        for other in others:
            if other.shape[2:] != total.shape[2:]:
                other = resize(other, total)
            total = total + other
        logits: Tensor = self.classifier(self.drop(total))
        return logits


class FullSizeSegmenter(nn.Module):
    """A segmenter whose logits have the size of its input, [B, num_classes, H, W], by bilinear interpolation."""

    def __init__(self, segmenter: SemanticFPN) -> None:
        super().__init__()
        self.segmenter, self.num_classes = segmenter, segmenter.num_classes

    def forward(self, images: Tensor) -> Tensor:
        return resize(self.segmenter(images), images)


def build_scale_head(level: int, in_chs: int, out_chs: int) -> nn.Sequential:
    """The layers from stride 4 x 2^level to stride 4."""
    layers: list[nn.Module] = []
    for i in range(max(1, level)):
        layers.append(ConvNorm(out_chs if i else in_chs, out_chs, 3, bias=False, act_layer="relu"))
        if level:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    for layer in layers:
        if isinstance(layer, ConvNorm):
            nn.init.kaiming_normal_(layer.conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(*layers)


def resize(x: Tensor, like: Tensor) -> Tensor:
    """[B, C, h, w] -> [B, C, H, W] of `like`."""
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def create_segmenter(
    backbone: str, num_classes: int, checkpoint: str | Path | None = None,
    backbone_checkpoint: str | Path | None = None, use_ema: bool = True, freeze_batch_norm: bool = False,
    pyramid_channels: int = 256, head_channels: int = 128, drop_rate: float = 0.1,
    backbone_options: dict[str, Any] | None = None,
) -> SemanticFPN:  # fmt: skip
    """Semantic FPN; the defaults are the paper's.

    Args:
        backbone: rapidnet_ti, _s, _m, _b or any timm network with features at strides 4, 8, 16 and 32.
        num_classes: what a pixel can be; 150 for the released segmenters.
        checkpoint: weights of the whole segmenter, ours or the authors' (mmsegmentation); strictly.
        backbone_checkpoint: weights of the backbone alone, as `create_model` takes them.
        use_ema: take the averaged weights where a file has them.
        freeze_batch_norm: BatchNorm of the backbone stays as it is in training, too.
        pyramid_channels, head_channels, drop_rate: of the head; the last one drops whole channels.
        backbone_options: of the network, such as drop_path_rate (0.1 in the released training) or pretrained=True.
    Raises:
        UserError: an unknown backbone or option, a number of classes below 1, a checkpoint that does not fit.
    """
    check_request(num_classes, checkpoint, backbone_checkpoint)
    if min(pyramid_channels, head_channels) < 1 or not 0 <= drop_rate < 1:
        raise UserError(
            f"pyramid_channels {pyramid_channels}, head_channels {head_channels} and drop_rate {drop_rate} make no "
            "segmenter; give channels from 1 on and a rate from 0 to below 1"
        )
    features = build_backbone(
        backbone, STRIDES, freeze_batch_norm, False, backbone_checkpoint, use_ema, backbone_options
    )
    segmenter = SemanticFPN(features, num_classes, pyramid_channels, head_channels, drop_rate)
    if checkpoint is not None:
        load_dense_weights(segmenter, checkpoint, use_ema)
    return segmenter
