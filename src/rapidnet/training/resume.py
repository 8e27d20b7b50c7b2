"""Where does a run begin: in a new folder, or at a checkpoint of an old one?"""

import json
import shutil
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from rapidnet.config import TrainConfig
from rapidnet.environment import describe_environment, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.models.factory import Checkpoint
from rapidnet.training.checkpoint import LAST, PREVIOUS, read_latest

CONFIG = "config.yaml"
# What may differ between the parts of a run without changing its results.
FREE = {"resume", "restart", "workers", "output", "save_steps", "save_minutes", "results"}


def resume_config(config: TrainConfig, console: Console) -> tuple[TrainConfig, Checkpoint | None]:
    """The config to train with and the checkpoint to go on from, if --resume or --restart asks for one.

    Raises:
        UserError: no run there, none of its checkpoints can be read, options that would have no effect.
    """
    folder = Path(config.resume or config.output)
    begun = (folder / CONFIG).is_file() and ((folder / LAST).is_file() or (folder / PREVIOUS).is_file())
    if config.restart:
        if not begun:
            return config, None
        refuse_other_options(config, folder)
    elif not config.resume:
        return config, None
    elif not begun:
        raise UserError(f"--resume {folder} is not a run folder: it has no {CONFIG} and {LAST}; give the run's folder")
    else:
        default = TrainConfig(resume=config.resume)
        changed = [spec.name for spec in fields(config) if getattr(config, spec.name) != getattr(default, spec.name)]
        if changed:
            raise UserError(
                f"--resume takes every option from {folder}/{CONFIG}, so --{changed[0].replace('_', '-')} "
                "would have no effect; leave it out or start a new run with --init"
            )
        config = read_config(folder)
        config.output = str(folder)
    checkpoint, note = read_latest(folder)
    if note:
        console.print(f"[yellow]{note}[/yellow]")
    return config, checkpoint


def read_config(folder: Path) -> TrainConfig:
    return TrainConfig.from_dict(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")))


def refuse_other_options(config: TrainConfig, folder: Path) -> None:
    """A restarted job may only go on with the run it began."""
    wanted, begun = _plain(asdict(config)), _plain(asdict(read_config(folder)))
    for name in wanted:
        if name not in FREE and wanted[name] != begun[name]:
            raise UserError(
                f"--restart found another run in {folder}: its {name} is {begun[name]}, not {wanted[name]}; "
                "choose another --output or the same options"
            )


def prepare_folder(config: TrainConfig, resumed: bool) -> Path:
    """Make the run folder with config.yaml and environment.json; refuses one that holds anything."""
    folder = Path(config.output)
    if not resumed and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (config.restart and (folder / CONFIG).is_file()):
            raise UserError(
                f"--output {folder} is not empty; choose another folder, or continue it with --resume {folder}"
            )
        # A job that was killed before its first checkpoint left nothing to go on from.
        refuse_other_options(config, folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not resumed:
        write_text_atomically(folder / CONFIG, yaml.safe_dump(_plain(asdict(config)), sort_keys=False))
    name = "environment.json" if not resumed else f"environment-resumed-{len(list(folder.glob('environment*')))}.json"
    write_text_atomically(folder / name, json.dumps(describe_environment(), indent=2))
    return folder


def _plain(value: Any) -> Any:
    # YAML knows lists and mappings only.
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
