"""The workers: each takes the next job when it is free; a lost one is replaced, and its job tried once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from anti_i2v.errors import AntiI2VError
from anti_i2v.receipt import Receipt
from anti_i2v_server.errors import JobFailed, WorkerLost
from anti_i2v_server.jobs.job import Job, Result
from anti_i2v_server.jobs.job_store import Board
from anti_i2v_server.problems import problem_of
from anti_i2v_server.protection.ipc import Progress, Task
from anti_i2v_server.protection.worker_handle import Worker
from anti_i2v_server.settings import Settings

__all__ = ["Pool"]

ATTEMPTS = 2
SLACK = 60.0
"""Seconds beyond its deadline that a photo has: a large one takes a while even where no step is taken."""

SHORTEST = 0.05
"""Seconds of deadline for a job whose time passed while it waited: it gets the draft."""

BACKOFF = (0.0, 1.0, 5.0, 30.0)
"""Seconds before each attempt to start a worker that did not start; the last one holds from there on."""

HOPELESS = 3
"""Starts that failed in a row: from there on new jobs are refused until one succeeds."""


class Pool:
    """One worker a device, and one loop each.

    Attributes:
        restarts: how often a worker was replaced.
    """

    def __init__(
        self, board: Board, settings: Settings, log: FilteringBoundLogger, on_ready: Callable[[Worker], None]
    ) -> None:
        self._board, self._settings, self._log, self._on_ready = board, settings, log, on_ready
        self.workers = [Worker(device, settings) for device in settings.devices]
        self.restarts = 0
        self._failed_starts = dict.fromkeys(self.workers, 0)
        self._running: dict[str, Worker] = {}
        self._loops: list[asyncio.Task[None]] = []

    @property
    def hopeless(self) -> bool:
        """Whether no worker can be started."""
        return all(count >= HOPELESS for count in self._failed_starts.values())

    def start(self) -> None:
        """Begin to work."""
        self._loops = [asyncio.create_task(self._serve(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """End all workers."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def cancel(self, job: Job) -> None:
        """Have a running job stopped before its next step."""
        job.cancel_wanted = True
        if (worker := self._running.get(job.id)) is not None:
            await worker.cancel(job.id)

    async def _serve(self, worker: Worker) -> None:
        while True:
            await self._revive(worker)
            some, gone = asyncio.create_task(self._board.some()), asyncio.create_task(worker.gone.wait())
            try:
                await asyncio.wait({some, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                some.cancel()
                gone.cancel()
            # Taken without waiting, so that no job is lost between two awaits.
            if not worker.gone.is_set() and (job := self._board.take()) is not None:
                await self._work(worker, job)

    async def _revive(self, worker: Worker) -> None:
        while worker.gone.is_set():
            failed = self._failed_starts[worker]
            await asyncio.sleep(BACKOFF[min(failed, len(BACKOFF) - 1)])
            try:
                await worker.start()
            except WorkerLost as loss:
                self._failed_starts[worker] = failed + 1
                self._log.error("worker did not start", device=worker.device, why=str(loss))
            else:
                self._failed_starts[worker] = 0
                self._on_ready(worker)

    async def _work(self, worker: Worker, job: Job) -> None:
        self._running[job.id] = worker
        try:
            done = await worker.run(*self._order(job))
            self._finish(job, Result(done.file, done.format, Receipt.from_json(done.receipt)))
        except WorkerLost as loss:
            self.restarts += 1
            self._log.warning("worker lost", device=worker.device, why=str(loss), attempt=job.attempts)
            self._lost(job, loss)
        except AntiI2VError as problem:
            self._end(job, problem)
        except asyncio.CancelledError:
            self._end(job, JobFailed("the server stopped before the photo was done"))
            raise
        except Exception as fault:  # whatever it is, the next job must be taken
            self._log.error("unforeseen", error=type(fault).__name__)
            self._end(job, JobFailed("the server ran into a fault of its own: see its log, and report it"))
        finally:
            del self._running[job.id]

    def _order(self, job: Job) -> tuple[Task, Callable[[Progress], None], float]:
        wishes, waited = job.wishes, job.clock() - job.submitted_at
        deadline = max(SHORTEST, wishes.seconds(self._settings.job_timeout) - waited)
        task = Task(
            job.id,
            job.photo or b"",
            wishes.recipe,
            wishes.preset,
            deadline,
            wishes.seed,
            None if wishes.format is None else wishes.format.upper(),
            wishes.metadata == "keep",
        )

        def moved(progress: Progress) -> None:
            job.moved(progress.step, progress.steps, progress.loss)

        return task, moved, min(self._settings.job_timeout, deadline + SLACK)

    def _finish(self, job: Job, result: Result) -> None:
        if job.cancel_wanted:  # too late to stop it, and still nobody wants it
            job.cancel()
        else:
            job.finish(result)

    def _lost(self, job: Job, loss: WorkerLost) -> None:
        if job.cancel_wanted:
            job.cancel()
        elif job.attempts < ATTEMPTS:
            self._board.put_back(job)
        else:
            self._end(job, JobFailed(f"the worker was lost {ATTEMPTS} times with this photo, at last because {loss}"))

    def _end(self, job: Job, problem: AntiI2VError) -> None:
        if job.cancel_wanted:
            job.cancel()
        else:
            job.fail(problem, problem_of(problem).told())
