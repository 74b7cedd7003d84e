"""All jobs of the server: the queue, the running jobs, and results until they expire."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from bisect import insort
from collections.abc import Callable

from anti_i2v_server.errors import JobUnknown, KeyReused, QueueFull
from anti_i2v_server.jobs.job import Job, State
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.settings import Settings

__all__ = ["JobStore"]


class JobStore:
    """Keeps jobs in memory, bounded in number and bytes. `clock` returns seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []
        self._submitted_count = 0
        self._job_waiting = asyncio.Event()

    @property
    def waiting_count(self) -> int:
        """The number of queued jobs."""
        return len(self._queue)

    @property
    def jobs(self) -> list[Job]:
        """All jobs, ended ones included until they expire."""
        return list(self._jobs.values())

    def add(self, options: JobOptions, photo: bytes, owner: str, key: str | None = None) -> Job:
        """Queue a new job, or return the one that this owner submitted under the same idempotency key.

        Raises:
            KeyReused: the key was used with another photo or other options.
            QueueFull: the queue or the memory for photos is full.
        """
        self.expire()
        digest = None if key is None else hashlib.sha256(photo).digest()
        if key is not None and (known := self._find_by_key(owner, key)) is not None:
            if (known.options, known.digest) != (options, digest):
                raise KeyReused("this Idempotency-Key came with another photo or other options: make a new one")
            return known
        if len(self._queue) >= self._settings.queue_limit:
            raise QueueFull(f"{len(self._queue)} photos are waiting already: try again in a moment")
        if sum(job.stored_bytes for job in self._jobs.values()) + len(photo) > self._settings.store_limit:
            raise QueueFull("the server's memory for photos is full: fetch and delete results, or try again later")
        self._submitted_count += 1
        job_id = secrets.token_urlsafe(16)
        job = Job(job_id, owner, self._submitted_count, options, photo, self._clock, key=key, digest=digest)
        self._jobs[job_id] = job
        self._enqueue(job)
        return job

    def _find_by_key(self, owner: str, key: str) -> Job | None:
        return next((job for job in self._jobs.values() if (job.owner, job.key) == (owner, key)), None)

    def get(self, job_id: str, owner: str) -> Job:
        """Return a job of this owner. Raises JobUnknown."""
        self.expire()
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            raise JobUnknown("job not found: results are kept for a limited time, so it may have expired")
        return job

    def remove(self, job: Job) -> None:
        """Drop an ended job and its result."""
        if job.state.ended:
            self._jobs.pop(job.id, None)

    async def wait_for_job(self) -> None:
        """Wait until the queue holds a job."""
        await self._job_waiting.wait()

    def take(self) -> Job | None:
        """Start the next job and return it, or None if the queue is empty."""
        if not self._queue:
            return None
        job = self._queue.pop(0)
        job.start()
        self._queue_changed()
        return job

    def requeue(self, job: Job) -> None:
        """Queue a job again after its worker was lost. It keeps its number, so it comes before later jobs."""
        job.requeue()
        self._enqueue(job)

    def cancel_waiting(self, job: Job) -> bool:
        """Cancel a queued job. Returns False if it is not queued."""
        if job.state is not State.QUEUED:
            return False
        self._queue.remove(job)
        job.cancel()
        self._queue_changed()
        return True

    def drain(self) -> list[Job]:
        """Empty the queue and return its jobs, when the server stops."""
        drained, self._queue = self._queue, []
        self._queue_changed()
        return drained

    def expire(self) -> None:
        """Drop ended jobs whose time is over."""
        before = self._clock() - self._settings.result_seconds
        for job in self.jobs:
            if job.ended_at is not None and job.ended_at <= before:
                del self._jobs[job.id]

    def _enqueue(self, job: Job) -> None:
        insort(self._queue, job, key=lambda other: other.sort_key)
        self._queue_changed()

    def _queue_changed(self) -> None:
        for position, job in enumerate(self._queue):
            job.set_position(position)
        if self._queue:
            self._job_waiting.set()
        else:
            self._job_waiting.clear()
