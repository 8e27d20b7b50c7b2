"""The teacher cache command: what does the teacher say of every image the student will see?"""

import json
import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from rapidnet.config import TeacherCacheConfig
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.loading import build_loader
from rapidnet.data.transforms import Preprocessing, seed_all
from rapidnet.environment import describe_environment, write_text_atomically
from rapidnet.errors import UserError
from rapidnet.training.build import build_fabric, choose_workers
from rapidnet.training.build_classifier import build_datasets, build_network
from rapidnet.training.choose import build_sampler
from rapidnet.training.loop import prepare_batch
from rapidnet.training.tasks import ClassificationTask
from rapidnet.training.teacher import Guide, build_teacher
from rapidnet.training.teacher_cache import FORMAT, INDEX, describe_view, empty_rows, epoch_file, find_rows, is_cache


def run_teacher_cache(config: TeacherCacheConfig) -> int:
    """Write the cache; an interrupted one goes on with the epochs that are missing."""
    console = Console()
    folder = Path(config.output)
    if is_cache(config.distillation.teacher):
        raise UserError(f"distillation.teacher {config.distillation.teacher} is a cache itself; name the teacher")
    fabric = build_fabric(config)
    if fabric.world_size > 1:
        raise UserError(
            f"teacher cache was started in {fabric.world_size} processes, which would all write the same answers; "
            "start it without torchrun"
        )
    seed_all(config.seed)
    student = Preprocessing.from_model(build_network(config, 2), config.image_size, config.crop_pct)
    dataset, _ = build_datasets(config, student)
    view = describe_view(config, dataset, student)
    prepare_cache(folder, config, view)
    guide = Guide(build_teacher(config.distillation, fabric.device), dataset.classes, student)
    task = ClassificationTask(len(dataset.classes), config.augment, student, seed=config.seed)
    sampler = build_sampler(config, dataset)
    loader = build_loader(dataset, sampler, config.batch_size, choose_workers(config.workers), train=True)
    bad_samples = BadSampleLog(config.bad_samples, folder / "quarantine.txt")
    with Progress(console=console, transient=True) as bar:
        shown = bar.add_task("asking the teacher", total=config.epochs * len(dataset))
        for epoch in range(config.epochs):
            if (folder / epoch_file(epoch)).exists():
                bar.advance(shown, len(dataset))
                continue
            rows = empty_rows(len(dataset) * config.repeated_augment, len(dataset.classes), config.store)
            sampler.set_epoch(epoch)
            for position, batch in enumerate(loader):
                bad_samples.record(batch.bad)
                if len(batch.targets) >= 2:
                    images, targets = fabric.to_device(batch.images), fabric.to_device(batch.targets)
                    seed = (config.seed, 1, epoch, position)
                    images, _ = prepare_batch(task, images, targets, batch.good_keys, seed)
                    with fabric.autocast():
                        logits = guide(images).cpu()
                    answers = logits.argmax(1) if config.store == "hard" else logits
                    rows[find_rows(batch.good_keys, len(dataset))] = answers.numpy()
                bar.advance(shown, len(batch.keys))
            save_rows(folder / epoch_file(epoch), rows)
    finish_cache(folder, config, view)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    console.print(f"{config.epochs} epochs of {len(dataset)} images, {size:.1f} MB, in [bold]{folder}[/bold]")
    console.print(f"train with --distillation.teacher {folder} and otherwise the same options")
    return 0


def prepare_cache(folder: Path, config: TeacherCacheConfig, view: dict[str, object]) -> None:
    """Make the folder; one that was begun for the same teacher and view goes on, any other is refused."""
    begun = folder / "begun.json"
    wanted = json.loads(json.dumps({"view": view, "store": config.store, "teacher": config.distillation.__dict__}))
    if folder.exists() and any(folder.iterdir()):
        if not begun.is_file() or json.loads(begun.read_text(encoding="utf-8")) != wanted:
            raise UserError(f"--output {folder} is not empty and not a begun cache of this view; choose another folder")
    else:
        write_text_atomically(begun, json.dumps(wanted))


def save_rows(path: Path, rows: "np.ndarray") -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.save(file, rows)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def finish_cache(folder: Path, config: TeacherCacheConfig, view: dict[str, object]) -> None:
    index = {
        "format": FORMAT, "teacher": config.distillation.__dict__, "store": config.store, "epochs": config.epochs,
        "view": view, "environment": describe_environment(),
    }  # fmt: skip
    write_text_atomically(folder / INDEX, json.dumps(index, indent=2))
