"""Operations on jobs: submit, status, events, result, cancel. An executor runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from anti_i2v.errors import Cancelled
from anti_i2v_server.errors import JobPending, NotReady, Stopping
from anti_i2v_server.jobs.job import Event, Job, Result, State
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.problems import problem_of
from anti_i2v_server.settings import Settings

__all__ = ["Executor", "JobService"]

EXPIRY_INTERVAL = 5.0
"""Seconds between two removals of expired results. Without it a result would stay until the next request."""


class Executor(Protocol):
    """Takes jobs from the store and runs them, as the worker pool does."""

    @property
    def all_starts_failed(self) -> bool:
        """Whether no worker can be started."""

    def start(self) -> None:
        """Start taking jobs."""

    async def stop(self) -> None:
        """End all workers."""

    async def cancel(self, job: Job) -> None:
        """Stop a running job."""


class JobService:
    """Protects photos for clients."""

    def __init__(self, settings: Settings, store: JobStore, executor: Executor) -> None:
        self.settings, self._store, self._executor = settings, store, executor
        self._stopping = asyncio.Event()
        self._cancels: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run jobs and expire results while inside."""
        self._executor.start()
        expiry = asyncio.create_task(self._expire_periodically())
        try:
            yield
        finally:
            expiry.cancel()
            self.stop()
            await self._executor.stop()

    def stop(self) -> None:
        """Refuse new jobs, end every event stream and fail queued jobs. Running jobs may finish."""
        self._stopping.set()
        for job in self._store.drain():
            error = Stopping("the server stopped before this photo was started: send it again")
            job.fail(error, problem_of(error).to_dict())

    def submit(self, options: JobOptions, photo: bytes, owner: str, key: str | None = None) -> Job:
        """Queue a photo, once for each idempotency key.

        Raises:
            RecipeError: an option is invalid.
            KeyReused: the key was used with another photo or other options.
            QueueFull, NotReady, Stopping: try again later.
        """
        options.validate()
        if self._stopping.is_set():
            raise Stopping("the server is stopping: send the photo again when it is back")
        if self._executor.all_starts_failed:
            raise NotReady("the worker does not start: see the server's log")
        return self._store.add(options, photo, owner, key)

    def status(self, job_id: str, owner: str) -> Job:
        """Return a job. Raises JobUnknown."""
        return self._store.get(job_id, owner)

    def result(self, job_id: str, owner: str) -> Result:
        """Return the result of a job. Raises JobUnknown, JobPending, Cancelled, or the job's own error."""
        return _result_or_error(self._store.get(job_id, owner))

    def cancel(self, job_id: str, owner: str) -> None:
        """Cancel a job before its next step, or drop an ended one. Raises JobUnknown."""
        job = self._store.get(job_id, owner)
        if job.state.ended:
            self._store.remove(job)
        else:
            self._cancel(job)

    async def events(self, job: Job, after: int) -> AsyncIterator[Event]:
        """Yield past and future events after number `after`, for at most `stream_seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.stream_seconds
        events = aiter(job.follow_events(after))
        stop = loop.create_task(self._stopping.wait())
        upcoming: asyncio.Task[Event] | None = None
        try:
            while True:
                upcoming = loop.create_task(_next_event(events))
                await asyncio.wait({upcoming, stop}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
                if not upcoming.done():
                    return
                yield upcoming.result()
        except _EndOfEvents:
            return
        finally:
            stop.cancel()
            if upcoming is not None:
                upcoming.cancel()

    async def protect(self, options: JobOptions, photo: bytes, owner: str, disconnect: Awaitable[None]) -> Result:
        """Protect one photo while its client waits, then drop the job.

        Args:
            disconnect: completes when the client disconnects, which cancels the job.

        Raises:
            Cancelled: the client disconnected.
            AntiI2VError: an error of `submit`, or the job's own.
        """
        job = self.submit(options, photo, owner)
        del photo
        ended, gone = asyncio.ensure_future(job.wait_until_ended()), asyncio.ensure_future(disconnect)
        try:
            await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not job.state.ended:
                raise Cancelled("the client disconnected")
            return _result_or_error(job)
        finally:
            ended.cancel()
            gone.cancel()
            if not job.state.ended:
                self._cancel(job)
            self._store.remove(job)

    def _cancel(self, job: Job) -> None:
        if not self._store.cancel_waiting(job):
            task = asyncio.create_task(self._executor.cancel(job))
            self._cancels.add(task)  # the loop keeps only a weak reference
            task.add_done_callback(self._cancels.discard)

    async def _expire_periodically(self) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(EXPIRY_INTERVAL)
                self._store.expire()


async def _next_event(events: AsyncIterator[Event]) -> Event:
    try:
        return await anext(events)
    except StopAsyncIteration:
        raise _EndOfEvents from None


class _EndOfEvents(Exception):
    """Replaces StopAsyncIteration, which a task cannot raise."""


def _result_or_error(job: Job) -> Result:
    if job.result is not None:
        return job.result
    if job.error is not None:
        raise job.error
    if job.state is State.CANCELLED:
        raise Cancelled("the job was cancelled: submit the photo again")
    raise JobPending(f"the job is {job.state}: follow its events, or try again in a moment")
