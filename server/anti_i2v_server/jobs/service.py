"""Five verbs: submit, status, events, result, cancel. What is below them could be another machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from structlog.typing import FilteringBoundLogger

from anti_i2v.errors import Cancelled
from anti_i2v_server.errors import JobPending, NotReady, Stopping
from anti_i2v_server.jobs.job import Event, Job, Result, State
from anti_i2v_server.jobs.job_options import Wishes
from anti_i2v_server.jobs.job_store import Board
from anti_i2v_server.problems import problem_of
from anti_i2v_server.protection.worker_handle import Worker
from anti_i2v_server.protection.worker_pool import Pool
from anti_i2v_server.settings import Settings

__all__ = ["Service"]

SWEEP = 5.0
"""Seconds between two looks at what has expired, so that a result goes though nobody asks."""


class Service:
    """Protects photos for whoever may ask. `on_ready` is told of every worker that is ready."""

    def __init__(
        self, settings: Settings, log: FilteringBoundLogger, on_ready: Callable[[Worker], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self.board = Board(settings)
        self.pool = Pool(self.board, settings, log, on_ready)
        self.stopping = asyncio.Event()
        self._cancels: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While inside, jobs are worked on."""
        self.pool.start()
        sweep = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweep.cancel()
            self.stop()
            await self.pool.stop()

    def stop(self) -> None:
        """Accept nothing more, end every stream, and fail what waits; what runs may end."""
        self.stopping.set()
        for job in self.board.drain():
            error = Stopping("the server stopped before the photo's turn came: send it again")
            job.fail(error, problem_of(error).told())

    def submit(self, wishes: Wishes, photo: bytes, owner: str, key: str | None = None) -> Job:
        """Put a photo in the queue, once for each key.

        Raises:
            RecipeError: the wishes cannot be fulfilled.
            KeyReused: the key came with something else.
            QueueFull, NotReady, Stopping: not now.
        """
        wishes.check()
        if self.stopping.is_set():
            raise Stopping("the server is about to stop: send the photo again when it is back")
        if self.pool.hopeless:
            raise NotReady("the worker does not start: see the server's log")
        return self.board.add(wishes, photo, owner, key)

    def status(self, job_id: str, owner: str) -> Job:
        """A job. Raises JobUnknown."""
        return self.board.get(job_id, owner)

    def result(self, job_id: str, owner: str) -> Result:
        """What became of it. Raises JobUnknown, JobPending, Cancelled, or what the job failed of."""
        return _outcome(self.board.get(job_id, owner))

    def cancel(self, job_id: str, owner: str) -> None:
        """Stop a job before its next step, or drop one that has ended. Raises JobUnknown."""
        job = self.board.get(job_id, owner)
        if job.state.ended:
            self.board.forget(job)
        else:
            self._cancel(job)

    async def events(self, job: Job, after: int) -> AsyncIterator[Event]:
        """What happened since, and what happens, for as long as a stream may last."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.stream_seconds
        happenings = aiter(job.happenings(after))
        stop = loop.create_task(self.stopping.wait())
        following: asyncio.Task[Event] | None = None
        try:
            while True:
                following = loop.create_task(_next_of(happenings))
                await asyncio.wait({following, stop}, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    return
                yield following.result()
        except _Over:
            return
        finally:
            stop.cancel()
            if following is not None:
                following.cancel()

    async def protect(self, wishes: Wishes, photo: bytes, owner: str, left: Awaitable[None]) -> Result:
        """Protect one photo while its owner waits.

        Args:
            left: ends when the owner went away; the worker is freed then.

        Raises:
            what `submit` raises, and what the job failed of.
        """
        job = self.submit(wishes, photo, owner)
        del photo
        ended, gone = asyncio.ensure_future(job.ended()), asyncio.ensure_future(left)
        try:
            await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not job.state.ended:
                raise Cancelled("the client went away")
            return _outcome(job)
        finally:
            ended.cancel()
            gone.cancel()
            if not job.state.ended:
                self._cancel(job)
            self.board.forget(job)

    def _cancel(self, job: Job) -> None:
        if not self.board.withdraw(job):
            task = asyncio.create_task(self.pool.cancel(job))
            self._cancels.add(task)  # or it could be collected before it has run
            task.add_done_callback(self._cancels.discard)

    async def _sweep(self) -> None:
        with suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(SWEEP)
                self.board.expire()


async def _next_of(happenings: AsyncIterator[Event]) -> Event:
    try:
        return await anext(happenings)
    except StopAsyncIteration:
        raise _Over from None


class _Over(Exception):
    """No more events. A task cannot end with StopAsyncIteration."""


def _outcome(job: Job) -> Result:
    if job.result is not None:
        return job.result
    if job.error is not None:
        raise job.error
    if job.state is State.CANCELLED:
        raise Cancelled("the job was cancelled: submit the photo again")
    raise JobPending(f"the job is {job.state}: follow its events, or ask again")
