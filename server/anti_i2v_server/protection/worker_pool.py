"""The workers: each takes the next job when it is free; a lost one is replaced, and its job tried once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from anti_i2v.errors import AntiI2VError
from anti_i2v.receipt import Receipt
from anti_i2v_server.errors import JobFailed, WorkerLost
from anti_i2v_server.jobs.job import Job, Result
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.problems import problem_of
from anti_i2v_server.protection.ipc import Progress, Task
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.settings import Settings

__all__ = ["WorkerPool"]

MAX_ATTEMPTS = 2
DEADLINE_GRACE = 60.0
"""Seconds beyond its deadline that a photo has: a large one takes a while even where no step is taken."""

MIN_DEADLINE = 0.05
"""Seconds of deadline for a job whose time passed while it waited: it gets the draft."""

START_BACKOFF = (0.0, 1.0, 5.0, 30.0)
"""Seconds before each attempt to start a worker that did not start; the last one holds from there on."""

MAX_FAILED_STARTS = 3
"""Starts that failed in a row: from there on new jobs are refused until one succeeds."""


class WorkerPool:
    """One worker a device, and one loop each.

    Attributes:
        restarts: how often a worker was replaced.
    """

    def __init__(
        self, store: JobStore, settings: Settings, log: FilteringBoundLogger, on_ready: Callable[[WorkerHandle], None]
    ) -> None:
        self._store, self._settings, self._log, self._on_ready = store, settings, log, on_ready
        self.workers = [WorkerHandle(device, settings) for device in settings.devices]
        self.restarts = 0
        self._failed_starts = dict.fromkeys(self.workers, 0)
        self._running: dict[str, WorkerHandle] = {}
        self._loops: list[asyncio.Task[None]] = []

    @property
    def all_starts_failed(self) -> bool:
        """Whether no worker can be started."""
        return all(count >= MAX_FAILED_STARTS for count in self._failed_starts.values())

    def start(self) -> None:
        """Begin to work."""
        self._loops = [asyncio.create_task(self._work_loop(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """End all workers."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def cancel(self, job: Job) -> None:
        """Have a running job stopped before its next step."""
        job.cancel_requested = True
        if (worker := self._running.get(job.id)) is not None:
            await worker.cancel(job.id)

    async def _work_loop(self, worker: WorkerHandle) -> None:
        while True:
            await self._start_until_ready(worker)
            some, gone = asyncio.create_task(self._store.wait_for_job()), asyncio.create_task(worker.exited.wait())
            try:
                await asyncio.wait({some, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                some.cancel()
                gone.cancel()
            # Taken without waiting, so that no job is lost between two awaits.
            if not worker.exited.is_set() and (job := self._store.take()) is not None:
                await self._run_job(worker, job)

    async def _start_until_ready(self, worker: WorkerHandle) -> None:
        while worker.exited.is_set():
            failed = self._failed_starts[worker]
            await asyncio.sleep(START_BACKOFF[min(failed, len(START_BACKOFF) - 1)])
            try:
                await worker.start()
            except WorkerLost as loss:
                self._failed_starts[worker] = failed + 1
                self._log.error("worker did not start", device=worker.device, why=str(loss))
            else:
                self._failed_starts[worker] = 0
                self._on_ready(worker)

    async def _run_job(self, worker: WorkerHandle, job: Job) -> None:
        self._running[job.id] = worker
        try:
            done = await worker.run(*self._task_arguments(job))
            self._finish(job, Result(done.file, done.format, Receipt.from_json(done.receipt)))
        except WorkerLost as loss:
            self.restarts += 1
            self._log.warning("worker lost", device=worker.device, why=str(loss), attempt=job.attempts)
            self._requeue_or_fail(job, loss)
        except AntiI2VError as problem:
            self._fail(job, problem)
        except asyncio.CancelledError:
            self._fail(job, JobFailed("the server stopped before the photo was done"))
            raise
        except Exception as fault:  # whatever it is, the next job must be taken
            self._log.error("unforeseen", error=type(fault).__name__)
            self._fail(job, JobFailed("the server ran into a fault of its own: see its log, and report it"))
        finally:
            del self._running[job.id]

    def _task_arguments(self, job: Job) -> tuple[Task, Callable[[Progress], None], float]:
        options, waited = job.options, job.clock() - job.submitted_at
        deadline = max(MIN_DEADLINE, options.effective_deadline(self._settings.job_timeout) - waited)
        task = Task(
            job.id,
            job.photo or b"",
            options.recipe,
            options.preset,
            deadline,
            options.seed,
            None if options.format is None else options.format.upper(),
            options.metadata == "keep",
        )

        def moved(progress: Progress) -> None:
            job.record_step(progress.step, progress.steps, progress.loss)

        return task, moved, min(self._settings.job_timeout, deadline + DEADLINE_GRACE)

    def _finish(self, job: Job, result: Result) -> None:
        if job.cancel_requested:  # too late to stop it, and still nobody wants it
            job.cancel()
        else:
            job.finish(result)

    def _requeue_or_fail(self, job: Job, loss: WorkerLost) -> None:
        if job.cancel_requested:
            job.cancel()
        elif job.attempts < MAX_ATTEMPTS:
            self._store.requeue(job)
        else:
            self._fail(
                job, JobFailed(f"the worker was lost {MAX_ATTEMPTS} times with this photo, at last because {loss}")
            )

    def _fail(self, job: Job, problem: AntiI2VError) -> None:
        if job.cancel_requested:
            job.cancel()
        else:
            job.fail(problem, problem_of(problem).to_dict())
