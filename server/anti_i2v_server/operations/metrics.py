"""What Prometheus may read: counts and times, nothing about anybody's photo."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from anti_i2v_server.jobs.job import State
from anti_i2v_server.jobs.service import JobService

__all__ = ["Metrics"]

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")
"""Counted by name; whatever else a client makes up is counted as one."""


class Metrics:
    """A registry of its own, so that two servers in one process do not meet."""

    def __init__(self, service: JobService) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "anti_i2v_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "anti_i2v_request_seconds", "Time to answer a request.", ("route",), registry=self.registry
        )
        store, pool = service.store, service.pool
        gauges = {
            "anti_i2v_jobs_waiting": ("Jobs in the queue.", lambda: store.waiting_count),
            "anti_i2v_jobs_running": ("Jobs on a worker.", lambda: sum(j.state is State.RUNNING for j in store.jobs)),
            "anti_i2v_stored_bytes": ("Photos and results in memory.", lambda: sum(j.stored_bytes for j in store.jobs)),
            "anti_i2v_workers_ready": ("Workers with loaded models.", lambda: sum(bool(w.ready) for w in pool.workers)),
            "anti_i2v_worker_restarts": ("Workers replaced since the start.", lambda: pool.restarts),
            "anti_i2v_worker_resident_bytes": (
                "Memory of the workers.",
                lambda: sum(w.resident_bytes for w in pool.workers),
            ),
        }
        for name, (text, read) in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(read)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
