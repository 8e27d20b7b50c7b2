"""What does GELU cost in int8, beside the same network with ReLU?

    python scripts/int8_activation.py --results results/int8.jsonl

RapidNet-Ti with randomised BatchNorm statistics, one image, one thread. All networks live in one process and take
turns, a round at a time, so that whatever else the machine does falls on all of them; ratios are of medians, with a
bootstrap over rounds. Speed does not depend on the weights, but the form of each GELU follows from the ranges: give
--run, a trained RapidNet's run folder, and --data, its images, for the forms a user will meet.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rapidnet.data.transforms import Preprocessing
from rapidnet.environment import append_row, describe_environment
from rapidnet.evaluation.trained import load_trained
from rapidnet.export.capture import Captured, InputSpec, capture
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import adapt, convert
from rapidnet.images import load_image
from rapidnet.models import create_model
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Array, Network

RUNTIMES = ("onnx", "openvino", "executorch", "litert")
NETWORKS = [("gelu", "int8"), ("relu", "int8"), ("gelu", "fp32")]
"""The second is what the others are compared with."""


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and BatchNorm statistics that keep activations in an ordinary range."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.rand(tensor.shape, generator=generator)
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
            if name.endswith("running_var") or ".bn.weight" in name:
                tensor.copy_(0.5 + noise)
            elif name.endswith(("running_mean", "bias")):
                tensor.copy_(noise - 0.5)
            else:
                tensor.copy_(0.1 + 0.3 * noise if "gamma" in name else (noise - 0.5) * 3 / fan_in**0.5)
    return model.eval()


def build(args: argparse.Namespace, act_layer: str) -> Captured:
    """The network, captured; a trained one has its activation swapped for timing only."""
    spec = InputSpec(args.image_size, args.image_size)
    if args.run:
        trained = load_trained(args.run)
        model = create_model(trained.metadata["model"], num_classes=len(trained.classes), act_layer=act_layer)
        model.load_state_dict(trained.model.state_dict())
        return capture(model.eval(), trained.preprocessing, "classification", spec)
    model = randomize(create_model("rapidnet_ti", act_layer=act_layer))
    return capture(model, Preprocessing.from_model(model, args.image_size), "classification", spec)


def read_images(args: argparse.Namespace) -> Array:
    """uint8 [N, 3, S, S]: from --data, evenly over its files, else random."""
    if not args.data:
        shape = (args.calibration, 3, args.image_size, args.image_size)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    kinds = {".jpg", ".jpeg", ".png"}
    files = sorted(path for path in Path(args.data).rglob("*") if path.suffix.lower() in kinds)
    preprocessing = Preprocessing.from_model(create_model("rapidnet_ti"), args.image_size)
    chosen = files[:: max(1, len(files) // args.calibration)][: args.calibration]
    return np.stack([preprocessing(load_image(path)).numpy() for path in chosen])


def build_network(
    runtime: str, captured: Captured, precision: str, images: Array, folder: Path
) -> tuple[Network, dict]:
    """The network opened in its runtime with one thread, and what its converter says."""
    folder.mkdir(parents=True)
    conversion = Conversion(captured, precision, images if precision == "int8" else None)  # type: ignore[arg-type]
    made = convert(runtime, adapt(runtime, conversion), folder)
    return FORMATS[runtime].open(made.artifact, 1), made.facts


def take_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Array]:
    """Milliseconds of each, [rounds]; the order turns by one each round, and the first rounds do not count.

    Nor does the first run of each turn, which finds the caches as another network left them.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(-5, rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            runs[name]()
            start = time.perf_counter()
            runs[name]()
            if i >= 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: np.array(values) for name, values in times.items()}


def compare(times: Array, base: Array) -> dict[str, float]:
    """Ratio of medians with the 95% interval of a bootstrap over rounds."""
    rows = np.random.default_rng(0).integers(0, len(times), (2000, len(times)))
    ratios = np.median(times[rows], axis=1) / np.median(base[rows], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return {"ratio": float(np.median(times) / np.median(base)), "low": float(low), "high": float(high)}


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--calibration", type=int, default=32, help="images that choose the ranges")
    parser.add_argument("--data", default="", help="folder of images; random pixels if left out")
    parser.add_argument("--run", default="", help="run folder of a trained rapidnet_ti; random weights if left out")
    parser.add_argument("--results", default="results/int8.jsonl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtimes", nargs="+", default=RUNTIMES, choices=RUNTIMES)
    parser.add_argument("--rounds", type=int, default=300)
    add_network_arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    images = read_images(args)
    captured = {act_layer: build(args, act_layer) for act_layer in ("gelu", "relu")}
    networks, cards = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for runtime in args.runtimes:
            for act_layer, precision in NETWORKS:
                name = f"{runtime} {precision} {act_layer}"
                networks[name], cards[name] = build_network(
                    runtime, captured[act_layer], precision, images, Path(folder) / name.replace(" ", "_")
                )
        one = images[:1]
        runs = {name: (lambda network=network: network.run(one)) for name, network in networks.items()}
        times = take_turns(runs, args.rounds)
    environment = describe_environment()
    for name, values in times.items():
        runtime, precision, act_layer = name.split()
        row = {"study": "int8_activation", "runtime": runtime, "precision": precision, "act_layer": act_layer}
        row |= {"image_size": args.image_size, "threads": 1, "rounds": args.rounds, "trained": bool(args.run)}
        row |= {"latency_ms_p50": float(np.median(values)), "latency_ms_p90": float(np.percentile(values, 90))}
        row["against_int8_relu"] = compare(values, times[f"{runtime} int8 relu"])
        row["against_fp32"] = compare(values, times[f"{runtime} fp32 gelu"])
        append_row(args.results, row | {"card": cards[name], "opened": networks[name].runtime, **environment})
        ratios = [
            f"{row[key]['ratio']:.2f} [{row[key]['low']:.2f}, {row[key]['high']:.2f}]"
            for key in ("against_int8_relu", "against_fp32")
        ]
        print(f"{name:24s} {row['latency_ms_p50']:7.2f} ms  of int8 ReLU {ratios[0]}  of fp32 {ratios[1]}")


if __name__ == "__main__":
    main()
