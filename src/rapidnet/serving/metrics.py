"""What can a monitor read of the server? Counters and histograms in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from rapidnet.serving.batching import Ran

MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other is counted as OTHER, since every new one would be a new series."""
STAGES = ("upload", "decode", "queue", "run", "answer")


class Metrics:
    """Everything that is counted; a registry of its own, so that two servers can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "rapidnet_requests", "Requests by route, method and status.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.refused = Counter("rapidnet_refused", "Refusals by their code.", ("reason",), registry=self.registry)
        self.errors = Counter("rapidnet_errors", "Unexpected exceptions; the log has each.", registry=self.registry)
        self.pictures = Counter("rapidnet_pictures", "Pictures answered by the network.", registry=self.registry)
        self.seconds = Histogram(
            "rapidnet_request_seconds", "Duration of requests by route.", ("route",), buckets=MILLISECONDS,
            registry=self.registry,
        )  # fmt: skip
        stage = Histogram(
            "rapidnet_stage_seconds", "Where a picture's time goes: upload (of a request), decode, queue, run (of a "
            "batch), answer.", ("stage",), buckets=MILLISECONDS, registry=self.registry,
        )  # fmt: skip
        self.stages = {name: stage.labels(name) for name in STAGES}
        self.batches = Histogram(
            "rapidnet_batch_pictures", "Pictures in one call of the network.", buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )  # fmt: skip

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(f"rapidnet_{name}", text, registry=self.registry).set_function(read)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method if method in METHODS else "OTHER", status).inc()
        self.seconds.labels(route).observe(seconds)

    def count_batch(self, ran: Ran) -> None:
        self.batches.observe(len(ran.waited))
        self.pictures.inc(len(ran.waited))
        self.stages["run"].observe(ran.seconds)
        for seconds in ran.waited:
            self.stages["queue"].observe(seconds)

    def render(self) -> bytes:
        return generate_latest(self.registry)
