"""JSON of /health and /ready."""

from __future__ import annotations

import msgspec

__all__ = ["Health", "Readiness", "WorkerInfo"]


class Health(msgspec.Struct, frozen=True):
    """The server runs."""

    status: str


class WorkerInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A worker. `provider` is ONNX Runtime's execution provider, null until the worker is ready."""

    device: str
    provider: str | None
    resident_bytes: int
    notes: tuple[str, ...]


class Readiness(msgspec.Struct, frozen=True, rename="camel"):
    """At least one worker is ready. `waiting` counts queued jobs, `restarts` replaced workers."""

    workers: list[WorkerInfo]
    waiting: int
    restarts: int
