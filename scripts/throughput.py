"""How much faster is training here than the plain recipe, and where does the difference come from?

    python scripts/throughput.py --data IMAGES --results results/throughput.jsonl

The two sides live in processes of their own, since how memory is kept is a property of a process, and take turns: one
works while the other waits. The protocol is in docs/throughput.md.
"""

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_trainer import PlainTrainer, read_picture
from rich.console import Console
from torch import Tensor

from rapidnet.config import AugmentConfig, OptimizerConfig, TrainConfig
from rapidnet.data.decode import load_pixels
from rapidnet.data.loading import Batch
from rapidnet.data.transforms import build_train_transform, open_stream
from rapidnet.environment import append_row, describe_environment
from rapidnet.memory import keep_freed_memory
from rapidnet.training.build import build_fabric, build_run
from rapidnet.training.loop import prepare_batch, train_batch

CLASSES = 10
BUSY = 3
"""The exit code of a machine that has other things to do."""
RECIPE: dict[str, Any] = {
    "crop_scale": (0.08, 1.0), "crop_ratio": (3 / 4, 4 / 3), "hflip": 0.5, "rand_augment": "rand-m9-mstd0.5-inc1",
    "random_erasing": 0.25, "label_smoothing": 0.1,
}  # fmt: skip
Clock = Callable[[], float]


class Plain:
    """The baseline's side."""

    def __init__(self, root: Path, args: argparse.Namespace, threads: int, mixing: bool) -> None:
        self.trainer = PlainTrainer(root / "train", args.image_size, args.batch_size, threads)
        self.batches = self._endless()

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.trainer.loader

    def prepare_batch(self) -> None:
        next(self.batches)

    def train_batch(self) -> None:
        self.trainer.step(*next(self.batches))

    def describe_augmentation(self) -> dict[str, Any]:
        crop, flip, rand, _, normalize, erase = self.trainer.images.transform.transforms
        return {
            "crop_scale": list(crop.scale), "crop_ratio": list(crop.ratio), "size": crop.size[0], "hflip": flip.p,
            "crop_interpolation": crop.interpolation.value, "rand_augment": describe_operations(rand.ops),
            "operations_per_image": rand.num_layers, "fill": list(rand.ops[0].kwargs["fillcolor"]),
            "move_interpolation": rand.ops[0].kwargs["resample"].name.lower(),
            "mean": normalize.mean.tolist(), "std": normalize.std.tolist(), "erasing": describe_erasing(erase),
        }  # fmt: skip

    def parts(self, pictures: int) -> dict[str, float]:
        crop, flip, rand, to_tensor, normalize, erase = self.trainer.images.transform.transforms
        times = PartTimes(pictures)
        paths = (self.trainer.images.paths * (pictures // len(self.trainer.images.paths) + 1))[:pictures]
        images = times.of("decode", read_picture, paths)
        images = times.of("crop, resize, flip", lambda image: flip(crop(image)), images)
        images = times.of("RandAugment", rand, images)
        images = times.of("to tensor, normalise, collate", lambda image: normalize(to_tensor(image)), images)
        times.of("erase", erase, images)
        size = self.trainer.batch_size
        batches = [images[i : i + size] for i in range(0, len(images), size)]
        stacked = times.of("to tensor, normalise, collate", torch.stack, batches)
        labels = torch.arange(len(stacked[0])) % CLASSES
        self.trainer.step(stacked[0].clone(), labels)
        started = time.process_time()
        self.trainer.step(stacked[0], labels)
        return times.ms | {"training step": 1e3 * (time.process_time() - started) / len(labels)}


class Ours:
    """This project's side: the parts that `rapidnet train` is made of, put together by it."""

    def __init__(self, root: Path, args: argparse.Namespace, threads: int, mixing: bool) -> None:
        torch.set_num_threads(threads)
        keep_freed_memory()
        mix = {"mixup": 0.8, "cutmix": 1.0} if mixing else {}
        config = TrainConfig(
            data=str(root), image_size=args.image_size, batch_size=args.batch_size, workers=0, ema_decay=0.99996,
            model_options={"drop_path_rate": 0.1}, optimizer=OptimizerConfig(options={"eps": 1e-8}),
            augment=AugmentConfig(**RECIPE, **mix),
        )  # fmt: skip
        config.output = tempfile.mkdtemp(dir=root)
        self.run = build_run(config, build_fabric(config), Console(quiet=True), None)
        self.run.model.train()
        self.batches = self._endless()

    def _endless(self) -> Iterator[Batch]:
        for epoch in range(1_000_000):
            self.run.train_sampler.set_epoch(epoch)
            yield from self.run.train_loader

    def prepare_batch(self) -> None:
        batch = next(self.batches)
        prepare_batch(self.run.task, batch.images, batch.targets, batch.good_keys, (0,))

    def train_batch(self) -> None:
        batch = next(self.batches)
        train_batch(self.run, batch, self.run.progress.updates, 1, True, len(batch.targets))

    def describe_augmentation(self) -> dict[str, Any]:
        transform = build_train_transform(self.run.config.augment, self.run.preprocessing)
        augment, preprocessing, rand = transform.augment, self.run.preprocessing, transform.rand_augment
        assert rand is not None and self.run.task.erase is not None
        return {
            "crop_scale": list(augment.crop_scale), "crop_ratio": list(augment.crop_ratio), "size": transform.size,
            "hflip": augment.hflip, "crop_interpolation": preprocessing.interpolation,
            "rand_augment": describe_operations(rand.operations), "operations_per_image": rand.count,
            "fill": [round(255 * value) for value in preprocessing.mean],
            "move_interpolation": preprocessing.interpolation,
            "mean": list(preprocessing.mean), "std": list(preprocessing.std),
            "erasing": describe_erasing(self.run.task.erase),
        }  # fmt: skip

    def parts(self, pictures: int) -> dict[str, float]:
        preprocessing, size = self.run.preprocessing, self.run.config.batch_size
        samples = self.run.train_loader.dataset.dataset.samples  # type: ignore[attr-defined]
        paths = [samples[i % len(samples)].path for i in range(pictures)]
        crop = build_train_transform(AugmentConfig(**RECIPE | {"rand_augment": ""}), preprocessing)
        rand = build_train_transform(AugmentConfig(**RECIPE), preprocessing).rand_augment
        assert rand is not None
        times, key = PartTimes(pictures), iter(range(1_000_000))
        images = times.of("decode", load_pixels, paths)
        images = times.of("crop, resize, flip", lambda image: crop(image, open_stream(0, 0, next(key))), images)
        rows = [image.permute(1, 2, 0).numpy() for image in images]
        rows = times.of("RandAugment", lambda pixels: rand(pixels, open_stream(0, 0, next(key))), rows)
        batches = [rows[i : i + size] for i in range(0, len(rows), size)]

        def collate(batch: list[Any]) -> Tensor:
            stacked = torch.stack([torch.from_numpy(pixels) for pixels in batch])
            return preprocessing.normalize(stacked.permute(0, 3, 1, 2))

        inputs = times.of("to tensor, normalise, collate", collate, batches)
        times.of("erase", self.run.task.erase, inputs)
        batch = next(self.batches)
        train_batch(self.run, batch, 0, 1, True, len(batch.targets))
        started = time.process_time()
        train_batch(self.run, batch, 1, 1, True, len(batch.targets))
        return times.ms | {"training step": 1e3 * (time.process_time() - started) / len(batch.targets)}


class PartTimes:
    """Milliseconds of CPU time per picture, by part; a part met twice adds up."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self.ms: dict[str, float] = {}

    def of(self, part: str, work: Any, items: list[Any]) -> list[Any]:
        started = time.process_time()
        results = [work(item) for item in items]
        self.ms[part] = self.ms.get(part, 0.0) + 1e3 * (time.process_time() - started) / self.pictures
        return results


def describe_operations(operations: list[Any]) -> list[list[Any]]:
    return [[o.name, o.prob, o.magnitude, o.magnitude_std, o.magnitude_max] for o in operations]


def describe_erasing(erase: Any) -> list[Any]:
    shares = [erase.probability, erase.min_area, erase.max_area, *erase.log_aspect_ratio]
    return [*shares, erase.min_count, erase.max_count, erase.per_pixel]


def compare_augmentation(plain: Any, ours: Any, path: str = "") -> list[str]:
    """Where two descriptions differ; numbers may by a thousandth."""
    if isinstance(plain, dict) and isinstance(ours, dict):
        keys = sorted(plain.keys() | ours.keys())
        return [d for key in keys for d in compare_augmentation(plain.get(key), ours.get(key), f"{path}.{key}")]
    if isinstance(plain, list) and isinstance(ours, list) and len(plain) == len(ours):
        return [
            d
            for i, pair in enumerate(zip(plain, ours, strict=True))
            for d in compare_augmentation(*pair, f"{path}[{i}]")
        ]
    if isinstance(plain, float | int) and isinstance(ours, float | int):
        return [] if math.isclose(plain, ours, rel_tol=1e-3) else [f"{path}: {plain} and {ours}"]
    return [] if plain == ours else [f"{path}: {plain} and {ours}"]


def serve(pipe: Any, side: type[Plain] | type[Ours], root: Path, args: argparse.Namespace, study: str) -> None:
    """A side's process: does what it is asked and answers with the seconds it took."""
    worker = side(root, args, args.threads if study == "end_to_end" else 1, study == "end_to_end")
    work = worker.train_batch if study == "end_to_end" else worker.prepare_batch
    while (asked := pipe.recv()) is not None:
        if asked == "augmentation":
            pipe.send(worker.describe_augmentation())
        elif asked == "parts":
            pipe.send(worker.parts(args.parts_pictures))
        else:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(asked):
                work()
            pipe.send((time.perf_counter() - wall, time.process_time() - cpu))


class Side:
    """A handle on the process of one side."""

    def __init__(self, side: type[Plain] | type[Ours], root: Path, args: argparse.Namespace, study: str) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, side, root, args, study), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, what: Any) -> Any:
        self.pipe.send(what)
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def measure(study: str, root: Path, args: argparse.Namespace) -> dict[str, Any]:
    """One study's row: alternate blocks of the two sides, then their parts."""
    batches = args.batches if study == "end_to_end" else 2 * args.batches
    sides = {"plain": Side(Plain, root, args, study), "ours": Side(Ours, root, args, study)}
    settings = {name: side.ask("augmentation") for name, side in sides.items()}
    differences = compare_augmentation(settings["plain"], settings["ours"])
    if differences:
        sys.exit(f"the two sides augment differently, which would make the comparison void: {'; '.join(differences)}")
    for side in sides.values():
        side.ask(args.warmup)
    blocks: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
    for block in range(args.blocks):
        for name in ("plain", "ours") if block % 2 == 0 else ("ours", "plain"):
            blocks[name].append(sides[name].ask(batches))
    row = summarize(blocks, batches * args.batch_size)
    # Parts are timed where nothing shares a core with them: in the study of one thread.
    row["parts_ms"] = {name: side.ask("parts") for name, side in sides.items()} if study == "data_pipeline" else {}
    for side in sides.values():
        side.close()
    threads = args.threads if study == "end_to_end" else 1
    return {"study": study, "threads": threads, "augmentation": settings["ours"]} | row


def summarize(blocks: dict[str, list[tuple[float, float]]], images: int) -> dict[str, Any]:
    """Images per second of wall and of CPU time, and the ratio of paired blocks with its bootstrap interval."""
    row: dict[str, Any] = {"blocks": len(blocks["ours"]), "images_per_block": images}
    for name, times in blocks.items():
        row[name] = {
            "images_per_s": images / statistics.median(wall for wall, _ in times),
            "images_per_cpu_s": images / statistics.median(cpu for _, cpu in times),
            "wall_s": [wall for wall, _ in times], "cpu_s": [cpu for _, cpu in times],
        }  # fmt: skip
    for clock, position in (("ratio", 0), ("cpu_ratio", 1)):
        pairs = zip(blocks["plain"], blocks["ours"], strict=True)
        ratios = np.array([plain[position] / ours[position] for plain, ours in pairs])
        drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
        low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
        row |= {clock: float(np.median(ratios)), f"{clock}_interval": [float(low), float(high)]}
    return row


def link_pictures(data: Path, root: Path, count: int) -> int:
    """Make root/{train,val}/<class>/ of links to photographs below `data`; the classes mean nothing."""
    found = sorted(path for path in data.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    order = np.random.default_rng(0).permutation(len(found))[:count]
    if len(order) < 2 * CLASSES:
        sys.exit(f"--data {data} holds {len(found)} JPEG files; give a folder with at least {2 * CLASSES}")
    for i, index in enumerate(order):
        for part in ("train", "val") if i < CLASSES else ("train",):
            link = root / part / f"class{i % CLASSES}" / f"{i}.jpg"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(found[index].resolve())
    return len(order)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of photographs, at any depth")
    parser.add_argument("--results", type=Path, help="a JSON-lines file to append the rows to")
    parser.add_argument("--study", choices=["end_to_end", "data_pipeline"], help="only this one")
    parser.add_argument("--images", type=int, default=512, help="photographs to draw from the folder")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--batches", type=int, default=2, help="in a block; twice as many of data alone")
    parser.add_argument("--warmup", type=int, default=2, help="batches before the first block")
    parser.add_argument("--parts-pictures", type=int, default=512)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--max-load", type=float, default=0.5, help="of the last minute, above which nothing is measured"
    )
    parser.add_argument("--allow-busy", action="store_true", help="measure all the same; the row says so")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    args = parse(arguments)
    load = os.getloadavg()
    if load[0] > args.max_load and not args.allow_busy:
        print(
            f"the load is {load[0]:.1f}, above --max-load {args.max_load}; wait, or pass --allow-busy", file=sys.stderr
        )
        return BUSY
    with tempfile.TemporaryDirectory() as folder:
        count = link_pictures(args.data, Path(folder), args.images)
        for study in [args.study] if args.study else ["data_pipeline", "end_to_end"]:
            row = measure(study, Path(folder), args)
            environment = describe_environment() | {"command": " ".join(["python scripts/throughput.py", *arguments])}
            row |= {
                "data": args.data.name, "pictures": count, "image_size": args.image_size, "batch_size": args.batch_size,
                "load_before": list(load), "load_after": list(os.getloadavg()), "allow_busy": args.allow_busy,
                "environment": environment,
            }  # fmt: skip
            if args.results:
                append_row(args.results, row)
            show(row)
    return 0


def show(row: dict[str, Any]) -> None:
    for clock, unit in (("ratio", "images_per_s"), ("cpu_ratio", "images_per_cpu_s")):
        low, high = row[f"{clock}_interval"]
        rates = f"plain {row['plain'][unit]:.1f}, ours {row['ours'][unit]:.1f}"
        print(f"{row['study']} {unit}: {rates}, ratio {row[clock]:.2f} ({low:.2f} to {high:.2f})")
    for part, plain in row["parts_ms"].get("plain", {}).items():
        print(f"  {part:30s} {plain:8.3f} ms plain {row['parts_ms']['ours'][part]:8.3f} ms ours")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
