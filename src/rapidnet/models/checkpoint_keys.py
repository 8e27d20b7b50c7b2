"""How do the authors' checkpoints, and our own training checkpoints, become a state dict of our RapidNet?

The authors' key names are fixed by their files (classification, and M and B inside mmdet and mmseg). Everything here
works on dictionaries of tensors: reading files is timm's, with `weights_only=True`.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import EntryNotFoundError
from torch import Tensor, nn

from rapidnet.errors import UserError

# Applied in order to one key; stage and block numbers carry over unchanged.
AUTHORS_RULES = [
    (r"^stem\.stem\.0\.", "stem.0.conv."),
    (r"^stem\.stem\.1\.", "stem.0.bn."),
    (r"^stem\.stem\.3\.", "stem.1.conv."),
    (r"^stem\.stem\.4\.", "stem.1.bn."),
    (r"^backbone\.", "stages."),
    (r"\.0\.conv\.0\.", ".0.conv."),
    (r"\.0\.conv\.1\.", ".0.bn."),
    (r"\.dws\.pw1\.", ".expand.conv."),
    (r"\.dws\.norm1\.", ".expand.bn."),
    (r"\.dws\.dw\.", ".depthwise.conv."),
    (r"\.dws\.norm2\.", ".depthwise.bn."),
    (r"\.dws\.pw2\.", ".project.conv."),
    (r"\.dws\.norm3\.", ".project.bn."),
    (r"\.mixer\.cpe\.pe\.", ".mixer.depthwise.conv."),
    (r"\.graph_conv\.nn\.", ".branches.0."),
    (r"\.graph_conv\.nn_2\.", ".branches.1."),
    (r"(\.fc[12]|\.branches\.[01])\.0\.", r"\1.conv."),
    (r"(\.fc[12]|\.branches\.[01])\.1\.", r"\1.bn."),
    (r"\.ffn\.conv\.conv\.", ".ffn.depthwise.conv."),
    (r"\.ffn\.norm1\.", ".ffn.depthwise.bn."),
    (r"\.ffn\.norm2\.", ".ffn.fc1.bn."),
    (r"\.ffn\.norm3\.", ".ffn.fc2.bn."),
    (r"\.ffn\.(fc[12])\.(weight|bias)$", r".ffn.\1.conv.\2"),
    (r"^prediction\.1\.", "pre_head.conv."),
    (r"^prediction\.2\.", "pre_head.bn."),
    (r"^dist_head\.", "head_dist."),
]
BODY = "backbone.features.body."
"""Where a detector or segmenter of ours keeps the timm network."""
AnyT = TypeVar("AnyT")
CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model")


class CheckpointMismatchError(UserError, ValueError):
    """A checkpoint of another architecture; says which key differs first and how."""


def convert_checkpoint(checkpoint: dict[str, Any], model: nn.Module, use_ema: bool = True) -> dict[str, Tensor]:
    """Return the state dict of `model` held in a checkpoint dictionary of any known origin.

    Args:
        checkpoint: a state dict; a dictionary holding one (`state_dict_ema`, `state_dict`, ...); our training
            checkpoint (`ema.*` and `model.*` keys); or an mmdet/mmseg detector, of which the backbone is taken.
        model: the network that will load it; gives the order in which a difference is reported.
        use_ema: take the averaged weights where there are any (the default), else the raw ones.
    Raises:
        CheckpointMismatchError: a backbone key is missing, unexpected or of another shape.
    """
    state = unwrap_state_dict(checkpoint, use_ema)
    is_detector = any(key.startswith(("backbone.stem.", BODY)) for key in state)
    if any(key.startswith(BODY) for key in state):
        # timm's networks of features have flat names.
        body = {key.removeprefix(BODY): value for key, value in state.items() if key.startswith(BODY)}
        state = {re.sub(r"^(stem|stages)_(\d+)\.", r"\1.\2.", key): value for key, value in body.items()}
    elif is_detector:
        state = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    if any(key.startswith("stem.stem.") for key in state):
        state = dict(_convert_item(key, value) for key, value in state.items())
    own = model.state_dict()
    if is_detector and getattr(model, "num_classes", 0) > 0:
        raise CheckpointMismatchError(
            "this is a detection or segmentation checkpoint: it has no classifier; "
            "load its backbone with features_only=True or num_classes=0"
        )
    if is_detector:
        state |= {key: value for key, value in own.items() if key.startswith("pre_head.")}
    check_backbone_keys(state, own, classifier_prefixes(model))
    return state


def classifier_prefixes(model: nn.Module) -> tuple[str, ...]:
    """The key prefixes of a timm network's classifier layers: ('head.', 'head_dist.') for ours."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    names = config.get("classifier") or ("head", "head_dist")
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def unwrap_state_dict(checkpoint: dict[str, Any], use_ema: bool = True) -> dict[str, Tensor]:
    """The weights inside a checkpoint dictionary, averaged ones first unless use_ema is False; cleaned of `module.`."""
    state = checkpoint
    for container in CONTAINERS if use_ema else CONTAINERS[2:]:
        if isinstance(checkpoint.get(container), dict):
            state = checkpoint[container]
            break
    for prefix in ("ema.", "model.") if use_ema else ("model.",):
        if any(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            break
    return {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}


def _convert_item(key: str, value: Tensor) -> tuple[str, Tensor]:
    converted = _convert_key(key)
    return converted, value.flatten() if converted.endswith(".gamma") else value


def _convert_key(key: str) -> str:
    layer_scale = re.fullmatch(r"backbone\.(\d+\.\d+)\.layer_scale_([12])", key)
    if layer_scale:
        return f"stages.{layer_scale[1]}.layer_scale_{layer_scale[2]}.gamma"
    for pattern, replacement in AUTHORS_RULES:
        key = re.sub(pattern, replacement, key)
    return key


def convert_backbone(names: dict[str, AnyT], own: Collection[str]) -> dict[str, AnyT]:
    """The authors' keys, whatever they lead to, as those of a `features_only` RapidNet, which are `own`."""
    converted = {re.sub(r"^(stem|stages)\.(\d+)\.", r"\1_\2.", _convert_key(key)): v for key, v in names.items()}
    _merge_inverted_residual_scales(converted, own)
    return converted


def check_backbone_keys(state: dict[str, Tensor], own: dict[str, Tensor], heads: tuple[str, ...]) -> None:
    """Raise CheckpointMismatchError at the first key outside the `heads` that differs, in the order of `own`."""
    _merge_inverted_residual_scales(state, own)
    for key, value in own.items():
        if key.startswith(heads):
            continue
        if key not in state:
            raise CheckpointMismatchError(f"the checkpoint is of another architecture: it has no key '{key}'")
        # timm adapts the input channels of the first convolution, so those alone may differ.
        free = key == "stem.0.conv.weight" and state[key].shape[0] == value.shape[0]
        if state[key].shape != value.shape and not free:
            raise CheckpointMismatchError(
                f"the checkpoint is of another architecture: '{key}' has shape {list(state[key].shape)}, "
                f"this network has {list(value.shape)}"
            )
    for key in state:
        if key not in own and not key.startswith(heads):
            raise CheckpointMismatchError(f"the checkpoint is of another architecture: unexpected key '{key}'")


def _merge_inverted_residual_scales(state: dict[str, AnyT], own: Collection[str]) -> None:
    # The authors call the single scale of an inverted residual layer_scale_1 too; ours is layer_scale.
    for key in [key for key in state if key.endswith(".layer_scale_1.gamma") and key not in own]:
        single = key.replace("layer_scale_1", "layer_scale")
        if single in own:
            state[single] = state.pop(key)


def released_file(variant: str) -> str:
    """The name of the authors' classification file for a variant: rapidnet_ti -> RapidNet_Ti.pth."""
    return f"RapidNet_{variant.removeprefix('rapidnet_').capitalize()}.pth"


def placed_file(variant: str) -> Path:
    """Where a released file downloaded by hand is looked for before the hub is asked."""
    return Path(torch.hub.get_dir()) / "checkpoints" / released_file(variant)


@contextmanager
def explain_download(variant: str, pretrained: bool) -> Iterator[None]:
    """Turn a failed download of released weights into one sentence that says what to place where.

    Raises:
        UserError: the hub cannot be reached or has no such file.
    """
    try:
        yield
    except OSError as error:
        if not pretrained or (isinstance(error, FileNotFoundError) and not isinstance(error, EntryNotFoundError)):
            raise
        raise UserError(
            f"the released weights {released_file(variant)} could not be fetched from the hub repository "
            f"SLDGroup/RapidNet; download that file yourself, place it at {placed_file(variant)} and run again"
        ) from error
