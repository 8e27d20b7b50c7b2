"""How does a run survive a crash? One file holds everything, written aside and renamed when complete."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from rapidnet.errors import UserError
from rapidnet.models.factory import CHECKSUM_KEY, METADATA_KEY, Checkpoint, compute_checksum, read_checkpoint

LAST, BEST, PREVIOUS = "last.safetensors", "best.safetensors", "previous.safetensors"


@dataclass
class Progress:
    """Where a run stands: finished epochs, samples asked for in this epoch, optimizer updates, and its sums so far.

    `best_score` is of the result that judges the task, in percent.
    """

    epoch: int = 0
    samples: int = 0
    updates: int = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    best_score: float = -1.0
    best_epoch: int = 0
    better_weights: str = "raw"
    done: bool = False


def save_checkpoint(
    path: Path,
    model: nn.Module,
    ema: nn.Module | None,
    optimizer: Optimizer | None,
    progress: Progress,
    metadata: dict[str, Any],
    keep_previous: bool = False,
) -> None:
    """Write weights, averaged weights, optimizer and progress; the name appears only when the file is complete.

    The metadata hold a checksum of it all. With `keep_previous` the file of that name becomes previous.safetensors.

    Raises:
        UserError: the disk is full or refuses; an earlier checkpoint of that name is intact.
    """
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{key}": value for key, value in ema.state_dict().items()}
    metadata = {**metadata, "progress": asdict(progress)}
    if optimizer is not None:
        state, metadata["optimizer"] = flatten_optimizer(optimizer)
        tensors |= state
    tensors = {key: value.detach().to("cpu").contiguous() for key, value in tensors.items()}
    # As it will be read: JSON has no tuples and no integer keys.
    metadata = json.loads(json.dumps(metadata))
    metadata[CHECKSUM_KEY] = compute_checksum(tensors, metadata)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        for left_behind in path.parent.glob(f".{path.name}.*.tmp"):
            left_behind.unlink()
        save_file(tensors, temporary, {METADATA_KEY: json.dumps(metadata)})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # safetensors keeps its files to their owner; a checkpoint is shared like any other file.
        temporary.chmod(0o666 & ~_umask())
        if keep_previous and path.exists():
            # Between the two renames the previous one stands in: see read_latest.
            os.replace(path, path.with_name(PREVIOUS))
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"checkpoint {path} could not be written ({error}); free some space and go on with --resume {path.parent}, "
            "the previous checkpoint is intact"
        ) from error


def read_progress(checkpoint: Checkpoint) -> tuple[Progress, dict[str, str]]:
    """Where a run stood, and the unreadable images it had met.

    Raises:
        UserError: a checkpoint without these, such as best.safetensors of another program.
    """
    for name in ("progress", "bad_samples"):
        if name not in checkpoint.metadata:
            raise UserError(f"checkpoint {checkpoint.path} lacks '{name}', so it cannot be resumed; use another file")
    saved = checkpoint.metadata["progress"]
    if missing := [spec.name for spec in fields(Progress) if spec.name not in saved]:
        raise UserError(
            f"checkpoint {checkpoint.path} lacks 'progress.{missing[0]}', so it cannot be resumed; use another file"
        )
    return Progress(**saved), checkpoint.metadata["bad_samples"]


def read_latest(folder: Path) -> tuple[Checkpoint, str]:
    """The newest checkpoint of a run that is whole, and a note if that is not the last one written.

    Raises:
        UserError: neither the last nor the previous checkpoint can be read.
    """
    problem: UserError | None = None
    for name in (LAST, PREVIOUS):
        if not (folder / name).is_file():
            continue
        try:
            checkpoint = read_checkpoint(folder / name)
        except UserError as error:
            problem = problem or error
            continue
        if not problem and name == LAST:
            return checkpoint, ""
        why = f"{problem}; " if problem else f"{LAST} is missing; "
        return checkpoint, f"{why}going on from {folder / name}"
    raise problem or UserError(f"{folder} holds no checkpoint ({LAST}); start it again in another folder")


def flatten_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state as named tensors and JSON: `optimizer.<parameter>.<name>`,
    `optimizer_group.<group>.<name>`, groups and plain numbers."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    # Some optimizers (lamb) count their steps in a tensor of the group.
    groups = [dict(group) for group in state["param_groups"]]
    for index, group in enumerate(groups):
        for name in [name for name, value in group.items() if isinstance(value, Tensor)]:
            tensors[f"optimizer_group.{index}.{name}"] = group.pop(name)
    return tensors, {"groups": groups, "numbers": numbers, "tensors": sorted(tensors)}


def restore_optimizer(optimizer: Optimizer, checkpoint: Checkpoint) -> None:
    """Put back what `flatten_optimizer` took apart."""
    saved = checkpoint.metadata["optimizer"]
    if missing := [key for key in saved["tensors"] if key not in checkpoint.tensors]:
        raise UserError(f"checkpoint {checkpoint.path} lacks '{missing[0]}'; use another file")
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in saved["numbers"].items()}
    for key, value in checkpoint.tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
        elif key.startswith("optimizer_group."):
            _, index, name = key.split(".", 2)
            saved["groups"][int(index)][name] = value
    optimizer.load_state_dict({"state": state, "param_groups": _as_tuples(saved["groups"], optimizer)})


def _as_tuples(groups: list[dict[str, Any]], optimizer: Optimizer) -> list[dict[str, Any]]:
    # JSON has no tuples; optimizers compare and unpack theirs (betas), so give back what the fresh one uses.
    return [
        {k: tuple(v) if isinstance(fresh.get(k), tuple) and v is not None else v for k, v in saved.items()}
        for saved, fresh in zip(groups, optimizer.param_groups, strict=True)
    ]


def restore_weights(model: nn.Module, checkpoint: Checkpoint, prefix: str) -> None:
    """Load `model.*` or `ema.*` of our own checkpoint strictly."""
    state = {k.removeprefix(prefix): v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}
    if missing := [key for key in model.state_dict() if key not in state]:
        raise UserError(f"checkpoint {checkpoint.path} lacks '{prefix}{missing[0]}'; use another file")
    with torch.no_grad():
        model.load_state_dict(state, strict=True)


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; not every system lets a folder be opened (Windows does not).
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
