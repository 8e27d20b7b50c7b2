"""How do the workers of a Ray cluster answer the parts of a job, so that one that dies loses nothing?

Ray Data hands out part numbers; workers write the files themselves, so that nothing but numbers comes back.
"""

import os
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

from rich.console import Console

from rapidnet import __version__
from rapidnet.bulk.network import pack_network
from rapidnet.bulk.parts import Part
from rapidnet.bulk.ray_cluster import join_cluster
from rapidnet.bulk.worker import Assignment
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

TRIES = 5
"""Workers that a part may cost: what kills five one after another is in the part."""
MOST_TASKS = 10_000
"""Ray is given so many tasks at most; of more parts, each task has several."""


def answer_with_ray(assignment: Assignment, config: PredictConfig, left: list[int]) -> Iterator[Part]:
    """The `Engine` of a cluster.

    Raises:
        UserError: no cluster, one without a processor for us, or what stopped a worker, in one sentence.
    """
    packed = pack_network(config.run)
    # Ray tells of lost workers on standard output, which is the answers' place.
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        join_cluster(config, sum(map(len, packed.files.values()))) as ray,
    ):
        tries = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(build_tries()).remote()
        shipped = ray.put((assignment, packed))
        pool = ray.data.ActorPoolStrategy(size=count_workers(ray, config, len(left)), max_tasks_in_flight_per_actor=1)
        set_context(ray)
        answered = ray.data.from_items(
            [{"part": index} for index in left], override_num_blocks=min(len(left), MOST_TASKS)
        ).map_batches(
            build_worker(), batch_size=1, compute=pool, num_cpus=config.threads,
            fn_constructor_args=(shipped, tries, __version__, TRIES),
        )  # fmt: skip
        for row in answered.iter_rows():
            if row["stop"]:
                raise UserError(row["stop"])
            yield Part(row["part"], row["pictures"], row["unreadable"])
        lost = ray.get(tries.count_lost.remote())
    if lost:
        note = f"{lost} parts were begun again, since their workers were lost"
        Console(stderr=True).print(note, highlight=False)


def count_workers(ray: Any, config: PredictConfig, parts: int) -> int:
    """As many as were asked for, or as the cluster has processors for, but no more than parts."""
    processors = int(ray.cluster_resources().get("CPU", 0))
    if processors < config.threads:
        raise UserError(
            f"the Ray cluster has {processors} processors and a worker needs {config.threads}; "
            "give fewer --threads or a larger cluster"
        )
    return min(parts, config.ray_workers or processors // config.threads)


def set_context(ray: Any) -> None:
    """Ray Data without bars and notes of its own, and patient: a part may take long."""
    context = ray.data.DataContext.get_current()
    quiet = {"enable_progress_bars": False, "print_on_execution_start": False, "execution_no_progress_timeout_s": -1}
    for name, value in quiet.items():
        if hasattr(context, name):
            setattr(context, name, value)


def build_tries() -> type:
    """The class of an actor that counts how often each part was begun. Pickled by value, as `build_worker` says."""

    class Tries:
        def __init__(self) -> None:
            self.begun: dict[int, int] = {}

        def begin(self, part: int) -> int:
            self.begun[part] = self.begun.get(part, 0) + 1
            return self.begun[part]

        def count_lost(self) -> int:
            return sum(self.begun.values()) - len(self.begun)

    return Tries


def build_worker() -> type:
    """The class of an actor that answers parts, by `ray_worker.RayWorker`.

    A class inside a function is pickled by value, so that nothing of this package is imported before a worker has said
    what it is: a bundle needs no torch, and the import would cost each worker seconds and hundreds of megabytes.
    """

    class BulkWorker:
        def __init__(self, *given: Any) -> None:
            import os

            os.environ["RAPIDNET_WORKER"] = "1"
            self.given = given
            self.worker: Any = None

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            """One part; why it cannot be answered in "stop"."""
            index = int(batch["part"][0])
            try:
                from rapidnet.bulk.ray_worker import RayWorker

                self.worker = self.worker or RayWorker(*self.given)
                found = self.worker.answer(index)
            except ImportError as error:
                stop = (
                    f"a Ray worker cannot import {error.name or error}; install on every node what is installed here, "
                    "rapidnet with its extras"
                )
                found = {"stop": stop, "pictures": 0, "unreadable": 0}
            return {name: [value] for name, value in ({"part": index} | found).items()}

    return BulkWorker
