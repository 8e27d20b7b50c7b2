"""How is a network built from a name, or read back from a checkpoint with its classes and preprocessing?"""

import hashlib
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from timm.models._helpers import _torch_load
from torch import Tensor, nn

from rapidnet.errors import UserError, nearest
from rapidnet.models.checkpoint_keys import CheckpointMismatchError, classifier_prefixes, convert_checkpoint

METADATA_KEY = "rapidnet"
"""Where a training checkpoint keeps its JSON: model, model_options, classes, preprocessing, progress."""
CHECKSUM_KEY = "sha256"
"""Where that JSON keeps the checksum of everything else in the file."""


@dataclass
class Checkpoint:
    """What a file holds: `tensors` by key (or by container, for the authors' files) and our metadata, if any."""

    path: Path
    tensors: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def has_ema(self) -> bool:
        return any(key == "state_dict_ema" or key.startswith("ema.") for key in self.tensors)


def create_model(name: str, checkpoint: str | Path | None = None, use_ema: bool = True, **kwargs: Any) -> nn.Module:
    """Create a timm network, ours or any other, and load a checkpoint strictly if one is given.

    Args:
        name: rapidnet_ti, rapidnet_s, rapidnet_m, rapidnet_b or any name timm knows.
        checkpoint: .safetensors or .pth; ours, the authors', or a detector that holds the backbone.
        use_ema: load the averaged weights where the file has them.
        kwargs: arguments of the network, such as num_classes, in_chans, features_only, dilations.
    Raises:
        UserError: an unknown name or argument, a checkpoint that cannot be read or is of another architecture.
    """
    if not timm.is_model(name):
        raise UserError(f"model '{name}' is unknown to timm{nearest(name, timm.list_models())}")
    if checkpoint is not None:
        plain = {key: value for key, value in kwargs.items() if key not in ("features_only", "out_indices")}
        # A feature network needs no classifier, so a detector's checkpoint is enough for it.
        probe = timm.create_model(name, **(plain | ({"num_classes": 0} if kwargs.get("features_only") else {})))
        state = _state_for(read_checkpoint(checkpoint), probe, use_ema)
        if kwargs.get("features_only"):
            kwargs |= {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}
        else:
            _load_strictly(probe, state, checkpoint)
            return probe
    try:
        return timm.create_model(name, **kwargs)
    except (TypeError, ValueError) as error:
        raise UserError(f"model '{name}' cannot be built: {error}") from error


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file without running any code in it.

    Raises:
        UserError: no such file, a damaged one, or a pickle that holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; give a .safetensors or .pth file, or a run folder")
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if CHECKSUM_KEY in metadata and compute_checksum(tensors, metadata) != metadata[CHECKSUM_KEY]:
                raise UserError(f"checkpoint {path} is damaged: its checksum does not match; use another file")
            return Checkpoint(path, tensors, metadata)
        loaded = _torch_load(str(path), map_location="cpu", weights_only=True)
    except RuntimeError as error:
        if "weights_only" in str(error):
            raise UserError(
                f"checkpoint {path} is a pickle that holds more than weights and would run code when loaded; "
                "it is refused: save its state dict as safetensors and load that"
            ) from error
        raise UserError(
            f"checkpoint {path} cannot be read, it is damaged or no checkpoint; use another file"
        ) from error
    except (SafetensorError, pickle.UnpicklingError, EOFError, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"checkpoint {path} cannot be read, it is damaged or no checkpoint; use another file"
        ) from error
    if not isinstance(loaded, dict):
        raise UserError(f"checkpoint {path} holds a {type(loaded).__name__}, not a dictionary of weights")
    return Checkpoint(path, loaded)


def compute_checksum(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, over the metadata but its checksum, and every tensor's name, type, shape and bytes."""
    rest = {key: value for key, value in metadata.items() if key != CHECKSUM_KEY}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(model: nn.Module, checkpoint: Checkpoint, use_ema: bool = True) -> list[str]:
    """Load a checkpoint into a network that may have another number of classes.

    Returns the classifier layers that keep their fresh weights because their shape differs; all else is strict.
    """
    state, own = _state_for(checkpoint, model, use_ema), model.state_dict()
    replaced = []
    for prefix in classifier_prefixes(model):
        fresh = {key: value for key, value in own.items() if key.startswith(prefix)}
        if any(key not in state or state[key].shape != value.shape for key, value in fresh.items()):
            state = {key: value for key, value in state.items() if not key.startswith(prefix)} | fresh
            replaced.append(prefix.removesuffix("."))
    _load_strictly(model, state, checkpoint.path)
    return replaced


def _state_for(checkpoint: Checkpoint, model: nn.Module, use_ema: bool) -> dict[str, Tensor]:
    try:
        return convert_checkpoint(checkpoint.tensors, model, use_ema)
    except CheckpointMismatchError as error:
        raise CheckpointMismatchError(f"checkpoint {checkpoint.path}: {error}") from None


def _load_strictly(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    own = model.state_dict()
    for key in [*own, *state]:
        if key not in state or key not in own:
            where = "this network" if key not in own else "the checkpoint"
            raise CheckpointMismatchError(f"checkpoint {path} does not fit: {where} has no key '{key}'")
        if state[key].shape != own[key].shape:
            raise CheckpointMismatchError(
                f"checkpoint {path} does not fit: '{key}' has shape {list(state[key].shape)}, "
                f"this network has {list(own[key].shape)}"
            )
    with torch.no_grad():
        model.load_state_dict(state, strict=True)
