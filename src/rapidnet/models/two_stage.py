"""How are Mask R-CNN and Faster R-CNN put together from torchvision's parts, with the paper's settings?

Sources: He et al., Mask R-CNN, ICCV 2017; Lin et al., Feature Pyramid Networks, CVPR 2017; RapidNet: Sec. 4.2.
"""

from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from rapidnet.models.detection_overrides import (
    AlignedRoIAlign,
    BestMatcher,
    BoxAndMaskHeads,
    ClampedBoxCoder,
    ProposalNetwork,
    RoundedTransform,
    StrideAnchors,
    Targets,
)
from rapidnet.models.detection_settings import TwoStageSettings
from rapidnet.models.features import FeatureBackbone, PyramidBackbone


class TwoStageDetector(GeneralizedRCNN):
    """Images [3, H, W] in [0, 1], of any sizes, in a list; boxes are left, top, right, bottom in their pixels.

    In training mode, with targets (one dictionary an image: boxes [N, 4], labels int64 [N] from 0 on, and with masks
    masks uint8 [N, H, W] of 0 and 1), a dictionary of losses; in eval mode a list of dictionaries: boxes [N, 4],
    scores [N], labels [N] from 0 on, and masks [N, 1, H, W] of probabilities. No class stands for the background.
    """

    def __init__(
        self, backbone: FeatureBackbone, num_classes: int, masks: bool = True,
        settings: TwoStageSettings = TwoStageSettings(),  # noqa: B008  frozen
    ) -> None:  # fmt: skip
        pyramid = PyramidBackbone(backbone, settings.pyramid_channels, LastLevelMaxPool())
        transform = RoundedTransform(
            settings.min_size, settings.max_size, list(backbone.mean), list(backbone.std), settings.size_divisor
        )
        proposals = build_proposals(settings)
        super().__init__(pyramid, proposals, build_heads(num_classes, masks, settings), transform)
        self.num_classes, self.settings = num_classes, settings
        initialize(self)

    def forward(self, images: list[Tensor], targets: Targets | None = None) -> Any:
        # torchvision's class 0 is the background.
        if targets is not None:
            targets = [{**target, "labels": target["labels"] + 1} for target in targets]
        answers = super().forward(images, targets)
        if not self.training:
            for answer in answers:
                answer["labels"] = answer["labels"] - 1
        return answers


def build_proposals(settings: TwoStageSettings) -> ProposalNetwork:
    """The region proposal network: one 3x3 layer, shared by all levels."""
    anchors = StrideAnchors(settings.strides, settings.anchor_scale, settings.anchor_ratios)
    network = ProposalNetwork(
        anchors,
        RPNHead(settings.pyramid_channels, len(settings.anchor_ratios)),
        settings.rpn_positive_iou,
        settings.rpn_negative_iou,
        settings.rpn_samples,
        settings.rpn_positive_fraction,
        {"training": settings.proposals_per_level_training, "testing": settings.proposals_per_level_test},
        {"training": settings.proposals_training, "testing": settings.proposals_test},
        settings.rpn_nms_iou,
    )
    network.box_coder = ClampedBoxCoder(settings.rpn_box_stds)
    network.proposal_matcher = BestMatcher(settings.rpn_positive_iou, settings.rpn_negative_iou, settings.rpn_best_iou)
    network.size_divisor = settings.size_divisor
    return network


def build_heads(num_classes: int, masks: bool, settings: TwoStageSettings) -> BoxAndMaskHeads:
    """What looks into each proposal: two linear layers for class and box, and convolutions for the mask."""
    channels, strides = settings.pyramid_channels, settings.strides[:-1]
    heads = BoxAndMaskHeads(
        AlignedRoIAlign(strides, settings.box_pool, settings.sampling_ratio),
        TwoMLPHead(channels * settings.box_pool**2, settings.box_width),
        FastRCNNPredictor(settings.box_width, num_classes + 1),
        settings.roi_positive_iou,
        settings.roi_negative_iou,
        settings.roi_samples,
        settings.roi_positive_fraction,
        None,
        settings.score_threshold,
        settings.nms_iou,
        settings.detections,
    )
    heads.box_coder = ClampedBoxCoder(settings.roi_box_stds)
    if settings.roi_best_iou is not None:
        heads.proposal_matcher = BestMatcher(
            settings.roi_positive_iou, settings.roi_negative_iou, settings.roi_best_iou
        )
    if masks:
        heads.mask_roi_pool = AlignedRoIAlign(strides, settings.mask_pool, settings.sampling_ratio)
        heads.mask_head = MaskRCNNHeads(channels, (settings.mask_channels,) * settings.mask_convs, 1)
        heads.mask_predictor = MaskRCNNPredictor(settings.mask_channels, settings.mask_channels, num_classes + 1)
    return heads


def initialize(detector: GeneralizedRCNN) -> None:
    """The released detectors' first weights; torchvision's last layers would start with larger ones."""
    heads = detector.roi_heads
    for layer in [*detector.backbone.fpn.modules(), *heads.box_head.modules()]:
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    nn.init.normal_(heads.box_predictor.cls_score.weight, std=0.01)
    nn.init.normal_(heads.box_predictor.bbox_pred.weight, std=0.001)
    for layer in heads.box_predictor.children():
        nn.init.zeros_(layer.bias)
    if heads.has_mask():
        for layer in (heads.mask_predictor.conv5_mask, heads.mask_predictor.mask_fcn_logits):
            nn.init.zeros_(layer.bias)
