"""What does the process do in which one network is opened and timed, and nothing else happens?

    python -m rapidnet.benchmark.worker

Orders come as JSON lines on standard input, answers go as JSON lines to standard output: {"order": "open", ...} first,
then "run", "split", "memory" as often as wished. Called with the word profile and an order, it
profiles one bundle and ends. What libraries print goes to standard error. torch is imported only
for networks that need it, so that the memory reported is what the runtime costs.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

TOP = 5


def time_runs(
    run: Callable[[], Any], count: int, warm: int = 0, clock: Callable[[], int] = time.perf_counter_ns
) -> list[float]:
    """Milliseconds of each of `count` runs, after `warm` ones that find the caches as others left them."""
    for _ in range(warm):
        run()
    times = []
    for _ in range(count):
        start = clock()
        run()
        times.append((clock() - start) / 1e6)
    return times


class Subject:
    """What is timed. `run` is one inference, `facts` what is known of it once it is open."""

    run: Callable[[], Any]
    facts: dict[str, Any]


class BundleSubject(Subject):
    """An exported bundle in its own runtime: image -> probabilities."""

    def __init__(
        self, path: str, threads: int, batch: int, image_size: int = 0, arithmetic: str = "", unit: str = "",
        seed: int = 0,
    ) -> None:  # fmt: skip
        import numpy as np

        from rapidnet.runtimes.bundle import open_bundle

        self.bundle = open_bundle(path, threads, arithmetic, unit)
        network = self.bundle.network
        size = network.size or image_size or self.bundle.card["preprocessing"]["image_size"]
        pixels = np.random.default_rng(seed).integers(0, 256, (network.batch or batch, 3, size, size), dtype=np.uint8)
        self.images = self.normalise(pixels)
        self.run = lambda: network.run(self.images)
        self.facts = {"runtime": network.runtime, "batch": len(pixels), "image_size": size}
        self.facts["compute_unit"] = network.unit

    def normalise(self, pixels: Any) -> Any:
        """uint8 [B, 3, S, S] -> what the artifact takes, contiguous."""
        import numpy as np

        if self.bundle.network.dtype == "uint8":
            return np.ascontiguousarray(pixels)
        contract = self.bundle.card["preprocessing"]
        mean, std = (np.array(contract[key], np.float32).reshape(1, 3, 1, 1) for key in ("mean", "std"))
        return np.ascontiguousarray((pixels.astype(np.float32) / 255 - mean) / std)

    def split(self, image: str) -> dict[str, float]:
        """Milliseconds of each step from a file to class numbers, once; empty for a batch, which is no photograph."""
        import numpy as np

        from rapidnet.images import load_image, prepare_image

        contract, network = self.bundle.card["preprocessing"], self.bundle.network
        if self.facts["batch"] > 1:
            return {}
        marks = [time.perf_counter_ns()]
        photograph = load_image(image)
        marks.append(time.perf_counter_ns())
        size = self.facts["image_size"]
        pixels = prepare_image(photograph, size, contract["crop_pct"], contract["interpolation"])[None]
        marks.append(time.perf_counter_ns())
        pixels = np.ascontiguousarray(pixels)
        marks.append(time.perf_counter_ns())
        inputs = self.normalise(pixels)
        marks.append(time.perf_counter_ns())
        outputs = network.run(inputs)
        marks.append(time.perf_counter_ns())
        values = outputs[self.bundle.card["output"]["name"]]
        np.argsort(-values[0])[:TOP]
        marks.append(time.perf_counter_ns())
        names = ("decode", "resize", "copy", "normalise", "model", "post")
        return {name: (after - before) / 1e6 for name, before, after in zip(names, marks[:-1], marks[1:], strict=True)}


class EagerSubject(Subject):
    """A network by name in eager torch, float32 and not folded, as a paper's repository runs it."""

    def __init__(self, model: str, threads: int, batch: int, image_size: int = 0) -> None:
        import torch

        from rapidnet.models import create_model

        torch.set_num_threads(threads or torch.get_num_threads())
        network = create_model(model).eval()
        cfg: Any = network.pretrained_cfg
        size = image_size or int(cfg["input_size"][-1])
        images = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
        mode = torch.inference_mode()

        def run() -> Any:
            with mode:
                return network(images)

        self.run = run
        self.facts = {"runtime": f"torch {torch.__version__}, eager, {torch.get_num_threads()} threads"}
        self.facts |= {"batch": batch, "image_size": size}


class FormSubject(Subject):
    """A trained classifier in plain torch, in one of the forms of `eager_forms`."""

    def __init__(self, run: str, form: str, threads: int, batch: int, image_size: int) -> None:
        import torch

        from rapidnet.benchmark.eager_forms import FORMS, open_form
        from rapidnet.evaluation.trained import load_trained

        torch.set_num_threads(threads or torch.get_num_threads())
        prepare, answer = open_form(load_trained(run), FORMS[form])
        draw = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (batch, 3, image_size, image_size), dtype=torch.uint8, generator=draw)
        inputs = prepare(pixels)
        self.run = lambda: answer(inputs)
        self.facts = {"runtime": f"torch {torch.__version__}, eager", "batch": batch, "image_size": image_size}


class GemmSubject(Subject):
    """A float32 matrix product in whichever library does it fastest here: what the machine reaches, at this moment."""

    def __init__(self, threads: int) -> None:
        from rapidnet.benchmark.gemm import GEMM_SIDE, open_gemm

        self.run, library = open_gemm(threads)
        self.facts = {"runtime": library, "gflop": 2 * GEMM_SIDE**3 / 1e9, "batch": 1, "image_size": 0}


SUBJECTS: dict[str, Callable[..., Subject]] = {
    "bundle": BundleSubject, "eager": EagerSubject, "form": FormSubject, "gemm": GemmSubject,
}  # fmt: skip


def serve(orders: TextIO, answers: TextIO) -> None:
    """Obey until the orders end."""
    subject: Subject | None = None
    for line in orders:
        order = json.loads(line)
        kind = order.pop("order")
        if kind == "open":
            answer, subject = open_subject(order)
        else:
            assert subject is not None, "nothing is open"
            answer = obey(subject, kind, order)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def open_subject(order: dict[str, Any]) -> tuple[dict[str, Any], Subject | None]:
    """Open and run once: {"load_ms", "first_ms", "peak_mb", and its facts}, or {"error": one sentence}."""
    from rapidnet.errors import UserError

    if order.get("cpus") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order["cpus"])
    start = time.perf_counter_ns()
    try:
        subject = SUBJECTS[order["kind"]](**order.get("arguments", {}))
    except UserError as error:
        return {"error": str(error)}, None
    loaded = time.perf_counter_ns()
    (first,) = time_runs(subject.run, 1)
    answer = {"load_ms": (loaded - start) / 1e6, "first_ms": first, "peak_mb": measure_peak_memory()}
    return answer | subject.facts, subject


def obey(subject: Subject, kind: str, order: dict[str, Any]) -> dict[str, Any]:
    if kind == "run":
        return {"ms": time_runs(subject.run, order["count"], order["warm"])}
    if kind == "split":
        return {"ms": subject.split(order["image"]) if isinstance(subject, BundleSubject) else {}}
    if kind == "memory":
        return {"peak_mb": measure_peak_memory()}
    raise ValueError(f"order '{kind}' is unknown")


def measure_peak_memory() -> float | None:
    """The most memory this process has held, in MB (1e6 bytes); None where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def profile(order: dict[str, Any]) -> dict[str, Any]:
    """A bundle's operators: {"operators": [...], "fastest_ms"}, or {"error": one sentence}.

    fastest_ms is of whole runs without counting; where operators were not timed, no run is either.
    """
    from dataclasses import asdict

    from rapidnet.errors import UserError
    from rapidnet.runtimes.operator_time import WARM_RUNS
    from rapidnet.runtimes.profiles import profile_artifact

    try:
        asked = {name: order[name] for name in ("path", "threads", "batch", "image_size", "arithmetic")}
        subject = BundleSubject(**asked)
        card = subject.bundle.card
        artifact = subject.bundle.path / card["artifact"]
        operators = profile_artifact(
            card["format"], artifact, subject.images, order["threads"], order["runs"], order["arithmetic"]
        )
    except UserError as error:
        return {"error": str(error)}
    answer: dict[str, Any] = {"operators": [asdict(operator) for operator in operators]}
    if "ms" in answer["operators"][0]:
        answer["fastest_ms"] = min(time_runs(subject.run, order["runs"], WARM_RUNS))
    return answer


if __name__ == "__main__":
    # Whatever a library prints must not end up among the answers.
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if sys.argv[1:2] == ["profile"]:
        private.write(json.dumps(profile(json.loads(sys.argv[2]))) + "\n")
        private.close()
    else:
        serve(sys.stdin, private)
