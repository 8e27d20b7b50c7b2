"""How does a detector or segmenter take its weights from a file, ours or the authors'?

The authors' files (M and B) have the key names of mmdetection 2.28 and mmsegmentation 0.30. What differs is names, and
the background: there it is the last class and has no boxes and masks; torchvision's is the first and has unused ones.
The coding of boxes, the order of anchors and that of flattened features are the same.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from rapidnet.errors import UserError
from rapidnet.models.checkpoint_keys import BODY, CheckpointMismatchError, convert_backbone, unwrap_state_dict
from rapidnet.models.factory import read_checkpoint


def keep(value: Tensor) -> Tensor:
    return value


def flatten(value: Tensor) -> Tensor:
    return value.flatten()


def put_background_first(value: Tensor) -> Tensor:
    """[classes, background, ...] -> [background, classes, ...]."""
    return torch.cat([value[-1:], value[:-1]])


def add_background_box(value: Tensor) -> Tensor:
    """[4 x classes, ...] -> [4 x (background, classes), ...]; nothing ever reads the background's box."""
    return torch.cat([value.new_zeros(4, *value.shape[1:]), value])


def add_background_mask(value: Tensor) -> Tensor:
    return torch.cat([value.new_zeros(1, *value.shape[1:]), value])


# The first pattern that fits a key gives its name here, and what becomes of the tensor.
RULES: list[tuple[str, str, Callable[[Tensor], Tensor]]] = [
    (r"neck\.lateral_convs\.(\d+)\.conv\.", r"backbone.fpn.inner_blocks.\1.0.", keep),
    (r"neck\.fpn_convs\.(\d+)\.conv\.", r"backbone.fpn.layer_blocks.\1.0.", keep),
    (r"rpn_head\.rpn_conv\.", "rpn.head.conv.0.0.", keep),
    (r"rpn_head\.rpn_cls\.", "rpn.head.cls_logits.", keep),
    (r"rpn_head\.rpn_reg\.", "rpn.head.bbox_pred.", keep),
    (r"roi_head\.bbox_head\.shared_fcs\.0\.", "roi_heads.box_head.fc6.", keep),
    (r"roi_head\.bbox_head\.shared_fcs\.1\.", "roi_heads.box_head.fc7.", keep),
    (r"roi_head\.bbox_head\.fc_cls\.", "roi_heads.box_predictor.cls_score.", put_background_first),
    (r"roi_head\.bbox_head\.fc_reg\.", "roi_heads.box_predictor.bbox_pred.", add_background_box),
    (r"roi_head\.mask_head\.convs\.(\d+)\.conv\.", r"roi_heads.mask_head.\1.0.", keep),
    (r"roi_head\.mask_head\.upsample\.", "roi_heads.mask_predictor.conv5_mask.", keep),
    (r"roi_head\.mask_head\.conv_logits\.", "roi_heads.mask_predictor.mask_fcn_logits.", add_background_mask),
    (r"decode_head\.scale_heads\.(\d+)\.(\d+)\.(conv|bn)\.", r"scale_heads.\1.\2.\3.", keep),
    (r"decode_head\.conv_seg\.", "classifier.", keep),
]
AUTHORS = ("rpn_head.", "roi_head.", "decode_head.", "neck.")


def load_dense_weights(model: nn.Module, path: str | Path, use_ema: bool = True) -> None:
    """Load a file into a detector or segmenter, strictly.

    Raises:
        UserError: a file that cannot be read.
        CheckpointMismatchError: keys that are missing, unexpected or of another shape, all named in one sentence.
    """
    state = unwrap_state_dict(read_checkpoint(path).tensors, use_ema)
    own = model.state_dict()
    names = {key: key for key in state}
    if any(key.startswith(AUTHORS) for key in state):
        state, names = convert_authors(state, own)
    complaints = [
        describe("lacks", [key for key in own if key not in state]),
        describe("has unexpected", [names[key] for key in state if key not in own]),
        *(
            f"has '{names[key]}' of shape {list(value.shape)} where {list(own[key].shape)} is needed"
            for key, value in state.items()
            if key in own and value.shape != own[key].shape
        ),
    ]
    complaints = [complaint for complaint in complaints if complaint]
    if complaints:
        rest = f" and differs in {len(complaints) - 4} more shapes" if len(complaints) > 4 else ""
        raise CheckpointMismatchError(
            f"checkpoint {path} is of another network than this {type(model).__name__}: "
            f"it {', '.join(complaints[:4])}{rest}; give the file that was saved from such a network"
        )
    model.load_state_dict(state, strict=True)


def convert_authors(state: dict[str, Tensor], own: Iterable[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors under our names, as torchvision orders them, and the file's name of each."""
    body = [key.removeprefix(BODY) for key in own if key.startswith(BODY)]
    renamed = convert_backbone(
        {key.removeprefix("backbone."): key for key in state if key.startswith("backbone.")}, body
    )
    names = {BODY + key: name for key, name in renamed.items()}
    # The authors' layer scales are [C, 1, 1].
    changes: dict[str, Callable[[Tensor], Tensor]] = {key: flatten if key.endswith(".gamma") else keep for key in names}
    for name in state:
        if name.startswith("backbone."):
            continue
        for pattern, replacement, change in RULES:
            key, count = re.subn(f"^{pattern}", replacement, name)
            if count:
                names[key], changes[key] = name, change
                break
        else:
            names[name], changes[name] = name, keep
    return {key: changes[key](state[name]) for key, name in names.items()}, names


def describe(what: str, keys: list[str]) -> str:
    """'lacks 'a', 'b' and 3 more keys', or nothing for no keys."""
    more = f" and {len(keys) - 3} more keys" if len(keys) > 3 else ""
    return f"{what} {', '.join(repr(key) for key in keys[:3])}{more}" if keys else ""


def check_request(num_classes: int, checkpoint: str | Path | None, backbone_checkpoint: str | Path | None) -> None:
    """Raise UserError for a number of classes below 1, or two sources of the backbone's weights."""
    if num_classes < 1:
        raise UserError(f"num_classes is {num_classes}; give the number of classes, 1 or more, without a background")
    if checkpoint is not None and backbone_checkpoint is not None:
        raise UserError("checkpoint holds the backbone's weights, too; give it or backbone_checkpoint, not both")
