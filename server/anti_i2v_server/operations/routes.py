"""Whether the server lives, whether it can work, how it does; and its page."""

from __future__ import annotations

from pathlib import Path

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from anti_i2v_server.errors import NotReady
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.openapi import NO_TOKEN, problem_responses
from anti_i2v_server.operations.metrics import Metrics

__all__ = ["STATIC_FOLDER", "health", "metrics", "page", "ready"]

STATIC_FOLDER = Path(__file__).parents[1] / "static"


class Health(msgspec.Struct, frozen=True):
    """The server lives."""

    status: str


class WorkerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A worker. `provider`: what ONNX Runtime runs on; null while it is not ready."""

    device: str
    provider: str | None
    resident_bytes: int
    notes: tuple[str, ...]


class Readiness(msgspec.Struct, frozen=True, rename="camel"):
    """At least one worker is ready."""

    workers: list[WorkerInfo]
    waiting: int
    restarts: int


@get("/health", security=NO_TOKEN, responses=problem_responses(token=False))
async def health() -> Health:
    """Whether the server lives."""
    return Health("ok")


@get("/ready", responses=problem_responses(503))
async def ready(service: NamedDependency[JobService]) -> Readiness:
    """Whether photos can be protected now."""
    pool = service.pool
    if not any(worker.ready for worker in pool.workers):
        raise NotReady("the models are not loaded: try again in a moment")
    workers = [
        WorkerInfo(
            each.device,
            each.ready.provider if each.ready else None,
            each.resident_bytes,
            each.ready.notes if each.ready else (),
        )
        for each in pool.workers
    ]
    return Readiness(workers, service.store.waiting_count, pool.restarts)


@get("/metrics", media_type="text/plain", responses=problem_responses())
async def metrics(metrics: NamedDependency[Metrics]) -> Response[str]:
    """Counts and times for Prometheus."""
    return Response(metrics.render().decode(), media_type=CONTENT_TYPE_LATEST)


@get("/", include_in_schema=False)
async def page() -> Response[bytes]:
    """The server's own page."""
    return Response((STATIC_FOLDER / "index.html").read_bytes(), media_type="text/html; charset=utf-8")
