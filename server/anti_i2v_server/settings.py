"""What a server is started with. Every limit stands here, with its unit."""

from __future__ import annotations

import msgspec

__all__ = ["Settings"]

MIB = 2**20


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server listens, what it accepts and how long it waits. The token is no setting: it must reach no log.

    Attributes:
        host, port: where it listens.
        allow_hosts: further values of the Host header, "name" or "name:port": of a proxy, a container, another machine.
        surrogates: names or directories of artifacts to take steps on; None takes all that were exported.
        devices: one worker process each: "auto", "cpu", "cuda:0", "cuda:1".
        body_limit: bytes of a request's body.
        pixel_limit: width times height of a photo, checked before it is decoded.
        body_timeout: seconds in which a request's body has to arrive.
        job_timeout: seconds that one attempt may take; every job gets a deadline below it.
        queue_limit: jobs that may wait.
        store_limit: bytes of waiting photos and kept results.
        result_seconds: how long a result can be fetched.
        stream_seconds: longest life of one event stream; clients come back with Last-Event-ID.
        worker_memory: resident bytes at which a worker is replaced.
        start_timeout, heartbeat_timeout: seconds until a worker that does not start, or is not heard of, is replaced.
        cancel_grace: seconds that a cancelled job has to end by itself before its worker is replaced.
        stop_grace: seconds that running jobs have when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    allow_hosts: tuple[str, ...] = ()
    surrogates: tuple[str, ...] | None = None
    devices: tuple[str, ...] = ("auto",)
    body_limit: int = 64_000_000
    pixel_limit: int = 64_000_000
    body_timeout: float = 60.0
    job_timeout: float = 600.0
    queue_limit: int = 32
    store_limit: int = 1024 * MIB
    result_seconds: float = 600.0
    stream_seconds: float = 25.0
    worker_memory: int = 4096 * MIB
    start_timeout: float = 60.0
    heartbeat_timeout: float = 20.0
    cancel_grace: float = 5.0
    stop_grace: float = 10.0
