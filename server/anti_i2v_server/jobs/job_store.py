"""Every job that the server knows: those that wait in order, those that run, and results until they expire."""

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
    """Bounded in jobs and bytes; everything is in memory. `clock` counts seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._jobs: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._submitted_count = 0
        self._job_waiting = asyncio.Event()

    @property
    def waiting_count(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def jobs(self) -> list[Job]:
        """All that are known."""
        return list(self._jobs.values())

    def add(self, options: JobOptions, photo: bytes, owner: str, key: str | None = None) -> Job:
        """A new job, in the queue; the one there is where its owner submitted the same under this key before.

        Raises:
            KeyReused: the key came with another photo or other options.
            QueueFull: no place for one more.
        """
        self.expire()
        digest = None if key is None else hashlib.sha256(photo).digest()
        for job in self._jobs.values() if key is not None else ():
            if (job.owner, job.key) == (owner, key):
                if (job.options, job.digest) != (options, digest):
                    raise KeyReused("this Idempotency-Key came with another photo or other options: make a new one")
                return job
        if len(self._waiting) >= self._settings.queue_limit:
            raise QueueFull(f"{len(self._waiting)} photos are waiting already: try again in a moment")
        if sum(job.stored_bytes for job in self._jobs.values()) + len(photo) > self._settings.store_limit:
            raise QueueFull("the server's memory for photos is full: fetch and delete results, or try again later")
        self._submitted_count += 1
        job = Job(
            secrets.token_urlsafe(16), owner, self._submitted_count, options, photo, self._clock, key=key, digest=digest
        )
        self._jobs[job.id] = job
        self._enqueue(job)
        return job

    def get(self, job_id: str, owner: str) -> Job:
        """A job of this owner. Raises JobUnknown."""
        self.expire()
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            raise JobUnknown("there is no such job: results are kept for a while only, so it may have expired")
        return job

    def remove(self, job: Job) -> None:
        """Drop an ended job with its result."""
        if job.state.ended:
            self._jobs.pop(job.id, None)

    async def wait_for_job(self) -> None:
        """Until a job waits."""
        await self._job_waiting.wait()

    def take(self) -> Job | None:
        """The next job, which now runs; None where none waits."""
        if not self._waiting:
            return None
        job = self._waiting.pop(0)
        job.start()
        self._queue_changed()
        return job

    def requeue(self, job: Job) -> None:
        """A job whose worker was lost; its number brings it before those that came later."""
        job.requeue()
        self._enqueue(job)

    def cancel_waiting(self, job: Job) -> bool:
        """Cancel a job that waits; False where it does not."""
        if job.state is not State.QUEUED:
            return False
        self._waiting.remove(job)
        job.cancel()
        self._queue_changed()
        return True

    def drain(self) -> list[Job]:
        """Take all that wait out of the queue, for the server stops."""
        drained, self._waiting = self._waiting, []
        self._queue_changed()
        return drained

    def expire(self) -> None:
        """Drop what was kept long enough."""
        before = self._clock() - self._settings.result_seconds
        for job in self.jobs:
            if job.ended_at is not None and job.ended_at <= before:
                del self._jobs[job.id]

    def _enqueue(self, job: Job) -> None:
        insort(self._waiting, job, key=lambda other: other.sort_key)
        self._queue_changed()

    def _queue_changed(self) -> None:
        for position, job in enumerate(self._waiting):
            job.set_position(position)
        if self._waiting:
            self._job_waiting.set()
        else:
            self._job_waiting.clear()
