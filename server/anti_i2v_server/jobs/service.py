"""Five verbs: submit, status, events, result, cancel. What is below them could be another machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from structlog.typing import FilteringBoundLogger

from anti_i2v.errors import Cancelled
from anti_i2v_server.errors import JobPending, NotReady, Stopping
from anti_i2v_server.jobs.job import Event, Job, Result, State
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.problems import problem_of
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.protection.worker_pool import WorkerPool
from anti_i2v_server.settings import Settings

__all__ = ["JobService"]

EXPIRY_INTERVAL = 5.0
"""Seconds between two looks at what has expired, so that a result goes though nobody asks."""


class JobService:
    """Protects photos for whoever may ask. `on_ready` is told of every worker that is ready."""

    def __init__(
        self, settings: Settings, log: FilteringBoundLogger, on_ready: Callable[[WorkerHandle], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.store = JobStore(settings)
        self.pool = WorkerPool(self.store, settings, log, on_ready)
        self.stopping = asyncio.Event()
        self._cancels: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While inside, jobs are worked on."""
        self.pool.start()
        sweep = asyncio.create_task(self._expire_periodically())
        try:
            yield
        finally:
            sweep.cancel()
            self.stop()
            await self.pool.stop()

    def stop(self) -> None:
        """Accept nothing more, end every stream, and fail what waits; what runs may end."""
        self.stopping.set()
        for job in self.store.drain():
            error = Stopping("the server stopped before the photo's turn came: send it again")
            job.fail(error, problem_of(error).to_dict())

    def submit(self, options: JobOptions, photo: bytes, owner: str, key: str | None = None) -> Job:
        """Put a photo in the queue, once for each key.

        Raises:
            RecipeError: the options cannot be fulfilled.
            KeyReused: the key came with something else.
            QueueFull, NotReady, Stopping: not now.
        """
        options.validate()
        if self.stopping.is_set():
            raise Stopping("the server is about to stop: send the photo again when it is back")
        if self.pool.all_starts_failed:
            raise NotReady("the worker does not start: see the server's log")
        return self.store.add(options, photo, owner, key)

    def status(self, job_id: str, owner: str) -> Job:
        """A job. Raises JobUnknown."""
        return self.store.get(job_id, owner)

    def result(self, job_id: str, owner: str) -> Result:
        """What became of it. Raises JobUnknown, JobPending, Cancelled, or what the job failed of."""
        return _result_or_error(self.store.get(job_id, owner))

    def cancel(self, job_id: str, owner: str) -> None:
        """Stop a job before its next step, or drop one that has ended. Raises JobUnknown."""
        job = self.store.get(job_id, owner)
        if job.state.ended:
            self.store.remove(job)
        else:
            self._cancel(job)

    async def events(self, job: Job, after: int) -> AsyncIterator[Event]:
        """What happened since, and what happens, for as long as a stream may last."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.stream_seconds
        upcoming = aiter(job.follow_events(after))
        stop = loop.create_task(self.stopping.wait())
        following: asyncio.Task[Event] | None = None
        try:
            while True:
                following = loop.create_task(_next_event(upcoming))
                await asyncio.wait({following, stop}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    return
                yield following.result()
        except _EndOfEvents:
            return
        finally:
            stop.cancel()
            if following is not None:
                following.cancel()

    async def protect(self, options: JobOptions, photo: bytes, owner: str, left: Awaitable[None]) -> Result:
        """Protect one photo while its owner waits.

        Args:
            left: ends when the owner went away; the worker is freed then.

        Raises:
            what `submit` raises, and what the job failed of.
        """
        job = self.submit(options, photo, owner)
        del photo
        ended, gone = asyncio.ensure_future(job.wait_until_ended()), asyncio.ensure_future(left)
        try:
            await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not job.state.ended:
                raise Cancelled("the client went away")
            return _result_or_error(job)
        finally:
            ended.cancel()
            gone.cancel()
            if not job.state.ended:
                self._cancel(job)
            self.store.remove(job)

    def _cancel(self, job: Job) -> None:
        if not self.store.cancel_waiting(job):
            task = asyncio.create_task(self.pool.cancel(job))
            self._cancels.add(task)  # or it could be collected before it has run
            task.add_done_callback(self._cancels.discard)

    async def _expire_periodically(self) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(EXPIRY_INTERVAL)
                self.store.expire()


async def _next_event(upcoming: AsyncIterator[Event]) -> Event:
    try:
        return await anext(upcoming)
    except StopAsyncIteration:
        raise _EndOfEvents from None


class _EndOfEvents(Exception):
    """No more events. A task cannot end with StopAsyncIteration."""


def _result_or_error(job: Job) -> Result:
    if job.result is not None:
        return job.result
    if job.error is not None:
        raise job.error
    if job.state is State.CANCELLED:
        raise Cancelled("the job was cancelled: submit the photo again")
    raise JobPending(f"the job is {job.state}: follow its events, or ask again")
