"""Do the authors' detectors and segmenters load, with every tensor in its place, and is a wrong file refused?

The files are not here: they are written by name and shape, as mmdetection 2.28 and mmsegmentation 0.30 save them.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import rapidnet
from models.released import fill_tensor, released_checkpoint
from rapidnet.errors import UserError
from rapidnet.models.dense_checkpoints import convert_authors

CLASSES = 3
WIDTH, FC = 8, 16
CHANNELS = {"ti": (32, 64, 112, 224), "m": (32, 64, 160, 320), "b": (64, 128, 224, 416)}
DETECTOR: dict[str, Any] = {
    "min_size": 64,
    "max_size": 64,
    "pyramid_channels": WIDTH,
    "box_width": FC,
    "mask_channels": WIDTH,
}


def layer(name: str, weight: tuple[int, ...], bias: int | None) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight} | ({} if bias is None else {f"{name}.bias": (bias,)})


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def neck_shapes(variant: str, width: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, channels in enumerate(CHANNELS[variant]):
        shapes |= layer(f"neck.lateral_convs.{i}.conv", (width, channels, 1, 1), width)
        shapes |= layer(f"neck.fpn_convs.{i}.conv", (width, width, 3, 3), width)
    return shapes


def detector_shapes(
    variant: str, classes: int = CLASSES, width: int = WIDTH, fc: int = FC
) -> dict[str, tuple[int, ...]]:
    shapes = neck_shapes(variant, width)
    shapes |= layer("rpn_head.rpn_conv", (width, width, 3, 3), width)
    shapes |= layer("rpn_head.rpn_cls", (3, width, 1, 1), 3)
    shapes |= layer("rpn_head.rpn_reg", (12, width, 1, 1), 12)
    shapes |= layer("roi_head.bbox_head.fc_cls", (classes + 1, fc), classes + 1)
    shapes |= layer("roi_head.bbox_head.fc_reg", (4 * classes, fc), 4 * classes)
    shapes |= layer("roi_head.bbox_head.shared_fcs.0", (fc, width * 49), fc)
    shapes |= layer("roi_head.bbox_head.shared_fcs.1", (fc, fc), fc)
    for i in range(4):
        shapes |= layer(f"roi_head.mask_head.convs.{i}.conv", (width, width, 3, 3), width)
    shapes |= layer("roi_head.mask_head.upsample", (width, width, 2, 2), width)
    return shapes | layer("roi_head.mask_head.conv_logits", (classes, width, 1, 1), classes)


def segmenter_shapes(
    variant: str, classes: int = CLASSES, width: int = WIDTH, head: int = 8
) -> dict[str, tuple[int, ...]]:
    shapes = layer("decode_head.conv_seg", (classes, head, 1, 1), classes)
    # Entries between those with weights double the size.
    for level, entries in enumerate(((0,), (0,), (0, 2), (0, 2, 4))):
        for entry in entries:
            name = f"decode_head.scale_heads.{level}.{entry}"
            shapes |= layer(f"{name}.conv", (head, head if entry else width, 3, 3), None) | norm(f"{name}.bn", head)
    return neck_shapes(variant, width) | shapes


def authors_checkpoint(variant: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    body = {
        f"backbone.{k}": v
        for k, v in released_checkpoint(variant).items()
        if not k.startswith(("pred", "head", "dist"))
    }
    return body | {name: fill_tensor(name, shape) for name, shape in shapes.items()}


def save(state: dict[str, Tensor], path: Path) -> Path:
    torch.save({"meta": {"epoch": 12, "CLASSES": ("a", "b", "c")}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def authors() -> dict[str, Tensor]:
    return authors_checkpoint("ti", detector_shapes("ti"))


def load_detector(path: Path, **options: Any) -> Any:
    return rapidnet.create_detector("rapidnet_ti", CLASSES, checkpoint=path, **(DETECTOR | options)).eval()


def test_every_tensor_of_a_detector_lands_in_its_place(authors: dict[str, Tensor], tmp_path: Path) -> None:
    detector = load_detector(save(authors, tmp_path / "mask_rcnn.pth"))
    state, heads = detector.state_dict(), "roi_heads.box_predictor"
    same = {
        "neck.lateral_convs.2.conv.weight": "backbone.fpn.inner_blocks.2.0.weight",
        "neck.fpn_convs.3.conv.bias": "backbone.fpn.layer_blocks.3.0.bias",
        "rpn_head.rpn_conv.weight": "rpn.head.conv.0.0.weight",
        "rpn_head.rpn_cls.bias": "rpn.head.cls_logits.bias",
        "rpn_head.rpn_reg.weight": "rpn.head.bbox_pred.weight",
        "roi_head.bbox_head.shared_fcs.0.weight": "roi_heads.box_head.fc6.weight",
        "roi_head.bbox_head.shared_fcs.1.bias": "roi_heads.box_head.fc7.bias",
        "roi_head.mask_head.convs.3.conv.weight": "roi_heads.mask_head.3.0.weight",
        "roi_head.mask_head.upsample.weight": "roi_heads.mask_predictor.conv5_mask.weight",
        "backbone.stem.stem.3.weight": "backbone.features.body.stem_1.conv.weight",
    }
    for name, own in same.items():
        assert torch.equal(state[own], authors[name]), name
    block = "backbone.features.body.stages_3.3"
    assert torch.equal(state[f"{block}.layer_scale_1.gamma"], authors["backbone.backbone.3.3.layer_scale_1"].flatten())
    inverted = state["backbone.features.body.stages_0.1.layer_scale.gamma"]
    assert torch.equal(inverted, authors["backbone.backbone.0.1.layer_scale_1"].flatten())
    cls, reg = authors["roi_head.bbox_head.fc_cls.weight"], authors["roi_head.bbox_head.fc_reg.weight"]
    assert torch.equal(state[f"{heads}.cls_score.weight"][0], cls[CLASSES]), "their background is the last class"
    assert torch.equal(state[f"{heads}.cls_score.weight"][1:], cls[:CLASSES])
    assert torch.equal(state[f"{heads}.bbox_pred.weight"][4:], reg)
    masks = state["roi_heads.mask_predictor.mask_fcn_logits.bias"]
    assert torch.equal(masks[1:], authors["roi_head.mask_head.conv_logits.bias"])
    used = {value.double().sum().item() for value in state.values() if value.numel() > 1}
    lost = [name for name, value in authors.items() if value.numel() > 1 and value.double().sum().item() not in used]
    reordered = ("fc_cls", "fc_reg", "conv_logits")
    assert all(any(part in name for part in reordered) or "layer_scale" in name for name in lost), lost


def silence(authors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The detector with heads that see nothing, so that biases alone answer."""
    return {k: torch.zeros_like(v) if k.startswith(("rpn_head", "roi_head")) else v for k, v in authors.items()}


@pytest.mark.parametrize("chosen", range(CLASSES))
@torch.inference_mode()
def test_the_class_that_wins_there_wins_here(chosen: int, authors: dict[str, Tensor], tmp_path: Path) -> None:
    state = silence(authors)
    state["roi_head.bbox_head.fc_cls.bias"][chosen] = 5.0
    # Of that class's box, the left-to-right difference alone: a tenth of 2, in widths of the proposal.
    state["roi_head.bbox_head.fc_reg.bias"][4 * chosen] = 2.0
    state["roi_head.mask_head.conv_logits.bias"] += -5.0
    state["roi_head.mask_head.conv_logits.bias"][chosen] = 5.0
    detector = load_detector(save(state, tmp_path / "one.pth"), nms_iou=1.0)
    proposals = []
    detector.rpn.register_forward_hook(lambda _, inputs, output: proposals.append(output[0][0]))
    (answer,) = detector([torch.rand(3, 64, 64)])
    assert len(answer["labels"]) and (answer["labels"] == chosen).all()
    width = proposals[0][:, 2] - proposals[0][:, 0]
    moved = proposals[0] + width[:, None] * torch.tensor([0.2, 0.0, 0.2, 0.0])
    distance = (moved.clamp(0, 64)[:, None] - answer["boxes"][None]).abs().amax(dim=2)
    assert float(distance.amin(dim=0).max()) < 1e-3, "every box is a proposal moved"
    middle = answer["masks"][:, 0, 20:44, 20:44].amax(dim=(1, 2))
    assert float(middle.max()) > 0.99


@torch.inference_mode()
def test_their_background_is_ours(authors: dict[str, Tensor], tmp_path: Path) -> None:
    state = silence(authors)
    state["roi_head.bbox_head.fc_cls.bias"][CLASSES] = 5.0
    (answer,) = load_detector(save(state, tmp_path / "none.pth"))([torch.rand(3, 64, 64)])
    assert len(answer["labels"]) == 0
    # Had the order been kept, a class would have won: the same bias in our first place.
    detector = load_detector(tmp_path / "none.pth")
    bias = detector.roi_heads.box_predictor.cls_score.bias
    bias.copy_(bias.roll(-1))
    assert len(detector([torch.rand(3, 64, 64)])[0]["labels"]) > 0


@pytest.mark.parametrize(("anchor", "ratio"), [(0, 0.5), (1, 1.0), (2, 2.0)])
@torch.inference_mode()
def test_anchors_are_in_their_order(anchor: int, ratio: float, authors: dict[str, Tensor], tmp_path: Path) -> None:
    state = silence(authors)
    state["rpn_head.rpn_cls.bias"][anchor] = 5.0
    # Their differences of that anchor, and of no other: twice as high.
    state["rpn_head.rpn_reg.bias"][4 * anchor + 3] = 0.6931472
    detector = load_detector(save(state, tmp_path / "anchors.pth"), anchor_scale=2.0, strides=(4, 8, 16, 32, 64))
    proposals = []
    detector.rpn.register_forward_hook(lambda _, inputs, output: proposals.append(output[0][0]))
    detector([torch.rand(3, 64, 64)])
    sides = proposals[0][:, 2:] - proposals[0][:, :2]
    inside = ((proposals[0] > 1) & (proposals[0] < 63)).all(dim=1)
    found = (sides[:, 1] / sides[:, 0])[inside][:5]
    assert len(found) == 5 and torch.allclose(found, torch.tensor(2 * ratio), rtol=1e-3)


@torch.inference_mode()
def test_a_segmenter_loads_and_its_classes_keep_their_order(tmp_path: Path) -> None:
    state = authors_checkpoint("ti", segmenter_shapes("ti"))
    path = save(state, tmp_path / "semantic_fpn.pth")
    options: dict[str, Any] = {"pyramid_channels": WIDTH, "head_channels": 8}
    segmenter: Any = rapidnet.create_segmenter("rapidnet_ti", CLASSES, checkpoint=path, **options).eval()
    assert torch.equal(segmenter.scale_heads[3][4].conv.weight, state["decode_head.scale_heads.3.4.conv.weight"])
    assert torch.equal(segmenter.scale_heads[2][2].bn.running_var, state["decode_head.scale_heads.2.2.bn.running_var"])
    assert torch.equal(segmenter.backbone.fpn.layer_blocks[1][0].bias, state["neck.fpn_convs.1.conv.bias"])
    assert torch.equal(segmenter.classifier.weight, state["decode_head.conv_seg.weight"])
    state["decode_head.conv_seg.bias"][1] = 1000.0
    segmenter = rapidnet.create_segmenter("rapidnet_ti", CLASSES, checkpoint=save(state, path), **options).eval()
    assert (segmenter(torch.rand(1, 3, 64, 64)).argmax(1) == 1).all()


@pytest.mark.parametrize("variant", ["m", "b"])
def test_the_released_sizes_fit(variant: str) -> None:
    """The whole networks, 80 and 150 classes, by shapes alone."""
    with torch.device("meta"):
        networks = [
            rapidnet.create_detector(f"rapidnet_{variant}", 80),
            rapidnet.create_segmenter(f"rapidnet_{variant}", 150),
        ]
        shapes = [detector_shapes(variant, 80, 256, 1024), segmenter_shapes(variant, 150, 256, 128)]
        body = [k for k in released_checkpoint(variant) if not k.startswith(("pred", "head", "dist"))]
    released = released_checkpoint(variant)
    for network, others in zip(networks, shapes, strict=True):
        state = {f"backbone.{key}": released[key].to("meta") for key in body}
        state |= {name: torch.empty(shape, device="meta") for name, shape in others.items()}
        own = network.state_dict()
        converted, _ = convert_authors(state, own)
        assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in own.items()}


def test_what_differs_is_named_in_one_sentence(authors: dict[str, Tensor], tmp_path: Path) -> None:
    state = dict(authors)
    del state["rpn_head.rpn_reg.bias"], state["backbone.backbone.0.0.dws.norm1.bias"]
    state["roi_head.bbox_head.extra.weight"] = torch.zeros(2)
    state["neck.fpn_convs.0.conv.bias"] = torch.zeros(9)
    with pytest.raises(UserError) as error:
        load_detector(save(state, tmp_path / "odd.pth"))
    message = str(error.value)
    assert str(tmp_path / "odd.pth") in message and message.count("\n") == 0
    for part in (
        "lacks 'backbone.features.body.stages_0.0.expand.bn.bias', 'rpn.head.bbox_pred.bias'",
        "has unexpected 'roi_head.bbox_head.extra.weight'",
        "has 'neck.fpn_convs.0.conv.bias' of shape [9] where [8] is needed",
    ):
        assert part in message


def test_other_networks_are_refused(authors: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(authors, tmp_path / "mask_rcnn.pth")
    with pytest.raises(UserError, match=r"'roi_head.bbox_head.fc_cls.weight' of shape \[4, 16\] where \[8, 16\]"):
        rapidnet.create_detector("rapidnet_ti", 7, checkpoint=path, **DETECTOR)
    with pytest.raises(UserError, match=r"has unexpected 'roi_head.mask_head.convs.0.conv.weight'.* more keys"):
        load_detector(path, kind="faster_rcnn")
    with pytest.raises(UserError, match="this SemanticFPN"):
        rapidnet.create_segmenter("rapidnet_ti", CLASSES, checkpoint=path)
    torch.save({k: v for k, v in authors.items() if "stem" not in k}, path)
    with pytest.raises(UserError, match=r"lacks 'backbone\.features\.body\.stem_0\.conv\.weight'"):
        load_detector(path)


def test_our_own_file_loads_averaged_or_raw(tmp_path: Path) -> None:
    first: nn.Module = rapidnet.create_detector("rapidnet_ti", CLASSES, "fcos", pyramid_channels=8)
    raw = {f"model.{key}": value for key, value in first.state_dict().items()}
    averaged = {f"ema.{key}": value + 1 for key, value in first.state_dict().items()}
    save_file(raw | averaged, tmp_path / "last.safetensors")
    for use_ema in (True, False):
        again = rapidnet.create_detector(
            "rapidnet_ti", CLASSES, "fcos", tmp_path / "last.safetensors", use_ema=use_ema, pyramid_channels=8
        )
        for key, value in again.state_dict().items():
            assert torch.equal(value, first.state_dict()[key] + int(use_ema)), key


def test_the_backbone_of_the_authors_detector_alone(authors: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(authors, tmp_path / "mask_rcnn.pth")
    segmenter: Any = rapidnet.create_segmenter("rapidnet_ti", 2, backbone_checkpoint=path, pyramid_channels=8)
    weight = segmenter.backbone.features.body["stem_0"].conv.weight
    assert torch.equal(weight, authors["backbone.stem.stem.0.weight"])
