"""Settings of a server: where it listens and every limit, with its unit."""

from __future__ import annotations

import msgspec

__all__ = ["Settings"]

MIB = 2**20


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Address, limits and timeouts. The token is kept apart, so that it never reaches a log.

    Attributes:
        host, port: listening address.
        allow_hosts: further accepted values of the Host header, "name" or "name:port", as a proxy sends them.
        surrogates: names or folders of the artifacts to optimise on; None uses every exported one.
        devices: "auto", "cpu", "cuda:0"...; one worker process each.
        body_limit: largest request body in bytes.
        pixel_limit: largest width times height of a photo, checked before decoding.
        body_timeout: seconds within which a request body must arrive.
        job_timeout: longest attempt in seconds; the deadline of every job is below it.
        queue_limit: most waiting jobs.
        store_limit: most bytes of waiting photos and kept results together.
        result_seconds: how long a result is kept.
        stream_seconds: longest event stream; clients reconnect with Last-Event-ID.
        worker_memory: resident bytes at which a worker is replaced.
        start_timeout: seconds within which a worker must be ready.
        heartbeat_timeout: seconds without a message after which a worker is replaced.
        cancel_grace: seconds within which a cancelled job must stop before its worker is replaced.
        stop_grace: seconds that running jobs get when the server stops.
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
