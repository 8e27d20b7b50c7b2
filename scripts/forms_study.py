"""Do folding, layout and number format change a trained network's answers, and what does each cost or save?

    python scripts/forms_study.py runs/mine --results results/forms.jsonl

One run, in every form that plain torch and the runtimes offer, on the run's own validation images. Answers are held
against those of the network as trained, in float64; latency against it in float32, by the protocol of rapidnet bench:
one process a form, in turns. An export is measured only if its checks pass, and said to be refused otherwise.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from rapidnet.benchmark.bench import open_workers, show_progress
from rapidnet.benchmark.contestants import Contestant, build_contestants
from rapidnet.benchmark.eager_forms import AS_TRAINED, FORMS, REFERENCE, Form, open_form
from rapidnet.benchmark.estimates import compare, estimate
from rapidnet.benchmark.machine import MAX_OTHERS, measure_others, read_usage
from rapidnet.benchmark.schedule import MODES, take_turns
from rapidnet.config.bench import BenchConfig, Point
from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.loading import EpochSampler, build_loader
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.evaluation.classification import measure
from rapidnet.evaluation.evaluate_trained import open_data
from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.experiments.pairs import Answers, compare_answers
from rapidnet.runtimes.bundle import open_bundle

Array = np.ndarray
EXPORTS = "onnx:fp32,onnx:fp16,onnx:int8,openvino:fp32,openvino:bf16,openvino:int8,executorch:fp32,executorch:int8"
BATCH = 16


def list_contestants(run: str, size: int, exports: str, folder: Path) -> tuple[list[Contestant], dict[str, str]]:
    """Every form that can be timed, that of training first; and why each of the others cannot."""
    found = [
        Contestant(name, run, "torch", str(form.dtype).removeprefix("torch."), "form",
                   {"run": run, "form": name, "batch": 1, "image_size": size}, Point(1, size))
        for name, form in FORMS.items()
    ]  # fmt: skip
    refused = {}
    for pair in filter(None, exports.split(",")):
        runtime, _, precision = pair.partition(":")
        config = BenchConfig([run], runtime=runtime, precision=precision)
        try:
            found += build_contestants(config, [run], folder, Console(stderr=True))
        except UserError as error:
            refused[pair] = str(error)
    return found, refused


def name_form(item: Contestant) -> str:
    return item.label if item.kind == "form" else f"{item.runtime} {item.precision}"


def open_answer(trained: Trained, item: Contestant) -> Callable[[Tensor], tuple[Array, Array | None]]:
    """uint8 [B, 3, S, S] -> probabilities and, of plain torch, logits; [B, C] both, in float64."""
    if item.kind == "form":
        return open_torch(trained, FORMS[item.label])
    bundle = open_bundle(item.arguments["path"], 1, item.arguments["arithmetic"])

    def answer(images: Tensor) -> tuple[Array, None]:
        # One at a time, as it is exported.
        return np.concatenate([bundle.predict(image[None]) for image in images.numpy()]).astype(np.float64), None

    return answer


def open_torch(trained: Trained, form: Form) -> Callable[[Tensor], tuple[Array, Array | None]]:
    prepare, run = open_form(trained, form)

    def answer(images: Tensor) -> tuple[Array, Array | None]:
        logits = run(prepare(images)).double()
        return logits.softmax(1).numpy(), logits.numpy()

    return answer


def answer_all(
    answer: Callable[[Tensor], tuple[Array, Array | None]], trained: Trained, images: int
) -> tuple[ClassificationMeter, Array, Array | None]:
    """The run's first `images` validation images (0: all), in an order that is always the same."""
    dataset = open_data(trained, "")
    order = np.random.default_rng(0).permutation(len(dataset))[: images or len(dataset)]
    subset: Any = Subset(dataset, sorted(int(index) for index in order))
    loader = build_loader(subset, EpochSampler(len(subset), 0, shuffle=False), BATCH, 0, train=False)
    meter, kept = ClassificationMeter(trained.classes), list[tuple[Array, Array | None]]()

    def predict(pixels: Tensor) -> Tensor:
        kept.append(answer(pixels))
        return torch.from_numpy(kept[-1][0])

    measure(predict, loader, meter, BadSampleLog("error", None))
    logits = None if kept[0][1] is None else np.concatenate([one for _, one in kept if one is not None])
    return meter, np.concatenate([probabilities for probabilities, _ in kept]), logits


class Subset:
    """Some images of a data set, at their own places in it."""

    def __init__(self, dataset: Any, places: list[int]) -> None:
        self.dataset, self.places = dataset, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, place = key
        return self.dataset[epoch, self.places[place]]


def measure_answers(trained: Trained, items: list[Contestant], images: int) -> Iterator[dict[str, Any]]:
    """Accuracy of each form, and how far it is from the network as trained, in float64."""
    meter, exact, exact_logits = answer_all(open_torch(trained, REFERENCE), trained, images)
    reference = Answers(*meter.answers())
    assert exact_logits is not None
    for item in items:
        own, probabilities, logits = answer_all(open_answer(trained, item), trained, images)
        result, pair = own.compute(), compare_answers(reference, Answers(*own.answers()), trained.classes)
        yield {
            "study": "forms", "form": name_form(item), "runtime": item.runtime, "precision": item.precision,
            "images": result["images"], "top1": result["top1"], "top1_interval": list(result["top1_interval"]),
            "ece": result["ece"],
            **{key: pair[key] for key in ("agreement", "wins", "losses", "difference", "interval", "p")},
            "largest_probability": float(np.abs(probabilities - exact).max()),
            "largest_logit": None if logits is None else float(np.abs(logits - exact_logits).max()),
        }  # fmt: skip


def measure_latency(items: list[Contestant], mode: str, threads: int) -> dict[str, dict[str, Any]]:
    """For each form how many times as long it takes as the network as trained; an unsteady ratio gives reasons."""
    with open_workers(items, threads) as workers:
        pids = [worker.pid for worker in workers.values()]
        before = read_usage(pids)
        with show_progress(Console(stderr=True)) as report:
            times = take_turns(workers, MODES[mode], report)
        others = measure_others(before, read_usage(pids))
    base = next(times[item.name] for item in items if item.label == AS_TRAINED)
    found = {}
    for item in items:
        own, ratio = estimate(times[item.name]), compare(times[item.name], base)
        busy = others is not None and others > MAX_OTHERS
        reasons = ratio.reasons + ([f"others used {others:.0%} of the processors"] if busy else [])
        figures = {"mean_ratio": float(times[item.name].mean() / base.mean())} | ratio.to_dict()
        # As in rapidnet bench: what unsettles a latency may leave its ratio alone.
        figures |= {} if own.reasons else {"latency_ms_p50": own.p50, "latency_ms_p90": own.p90}
        found[name_form(item)] = {"verdict": "unstable"} if reasons else figures
        found[name_form(item)] |= {"reasons": reasons, "mode": mode, "threads": threads, "used_by_others": others}
    return found


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a classifier's run folder")
    parser.add_argument("--exports", default=EXPORTS, help="RUNTIME:PRECISION, separated by commas; empty for none")
    parser.add_argument("--images", type=int, default=0, help="validation images to answer; 0 takes all")
    parser.add_argument("--mode", default="standard", choices=MODES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", default="")
    args = parser.parse_args(given)
    trained = load_trained(args.run)
    size = trained.preprocessing.image_size
    with tempfile.TemporaryDirectory() as folder:
        items, refused = list_contestants(args.run, size, args.exports, Path(folder))
        rows = list(measure_answers(trained, items, args.images))
        latency = measure_latency(items, args.mode, args.threads)
    facts = {"run": args.run, "model": trained.metadata["model"], "image_size": size, "weights": trained.weights}
    facts |= {"environment": describe_environment() | {"command": " ".join(["python", *sys.argv])}}
    rows = [row | latency[row["form"]] | facts for row in rows]
    rows += [
        {"study": "forms", "form": pair.replace(":", " "), "verdict": "refused", "reasons": [why]} | facts
        for pair, why in refused.items()
    ]
    for row in rows:
        print({key: value for key, value in row.items() if key != "environment"})
        if args.results:
            append_row(args.results, row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
