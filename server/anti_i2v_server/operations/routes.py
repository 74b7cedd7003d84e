"""Routes for operators, and the server's page."""

from __future__ import annotations

from pathlib import Path

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST

from anti_i2v_server.errors import NotReady
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.openapi import NO_TOKEN, problem_responses
from anti_i2v_server.operations.metrics import Metrics
from anti_i2v_server.operations.schemas import Health, Readiness, WorkerInfo
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.protection.worker_pool import WorkerPool

__all__ = ["STATIC_FOLDER", "health", "metrics", "page", "ready"]

STATIC_FOLDER = Path(__file__).parents[1] / "static"


@get("/health", security=NO_TOKEN, responses=problem_responses(token=False))
async def health() -> Health:
    """Check that the server runs."""
    return Health("ok")


@get("/ready", responses=problem_responses(503))
async def ready(store: NamedDependency[JobStore], pool: NamedDependency[WorkerPool]) -> Readiness:
    """Check that photos can be protected now: at least one worker has loaded its models."""
    if not any(worker.ready for worker in pool.workers):
        raise NotReady("the models are not loaded yet: try again in a moment")
    return Readiness([_worker_info(worker) for worker in pool.workers], store.waiting_count, pool.restarts)


def _worker_info(worker: WorkerHandle) -> WorkerInfo:
    ready = worker.ready
    return WorkerInfo(
        worker.device, ready.provider if ready else None, worker.resident_bytes, ready.notes if ready else ()
    )


@get("/metrics", media_type="text/plain", responses=problem_responses())
async def metrics(metrics: NamedDependency[Metrics]) -> Response[str]:
    """Return counts and durations for Prometheus."""
    return Response(metrics.render().decode(), media_type=CONTENT_TYPE_LATEST)


@get("/", include_in_schema=False)
async def page() -> Response[bytes]:
    """Return the server's page."""
    return Response((STATIC_FOLDER / "index.html").read_bytes(), media_type="text/html; charset=utf-8")
