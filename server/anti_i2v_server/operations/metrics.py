"""Prometheus metrics: counts and durations, nothing about photos."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from anti_i2v_server.jobs.job import State
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.protection.worker_pool import WorkerPool

__all__ = ["Metrics"]

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")
"""Methods with a label of their own; any other counts as "other", which bounds the number of series."""


class Metrics:
    """The metrics of one server. Each has its own registry, so that two servers in one process do not collide."""

    def __init__(self, store: JobStore, pool: WorkerPool) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "anti_i2v_requests", "HTTP requests.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "anti_i2v_request_seconds", "Duration of an HTTP request.", ("route",), registry=self.registry
        )
        gauges = {
            "jobs_waiting": ("Jobs in the queue.", lambda: store.waiting_count),
            "jobs_running": ("Running jobs.", lambda: sum(job.state is State.RUNNING for job in store.jobs)),
            "stored_bytes": ("Photos and results in memory.", lambda: sum(job.stored_bytes for job in store.jobs)),
            "workers_ready": ("Workers with loaded models.", lambda: sum(bool(each.ready) for each in pool.workers)),
            "worker_restarts": ("Workers replaced since the start.", lambda: pool.restarts),
            "worker_resident_bytes": (
                "Resident memory of the workers.",
                lambda: sum(each.resident_bytes for each in pool.workers),
            ),
        }
        for name, (text, read) in gauges.items():
            Gauge(f"anti_i2v_{name}", text, registry=self.registry).set_function(read)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request and its duration."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
