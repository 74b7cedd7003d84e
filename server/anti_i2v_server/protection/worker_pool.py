"""The pool of workers: a free worker takes the next job. A lost worker is replaced and its job tried once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from anti_i2v.errors import AntiI2VError
from anti_i2v.receipts.receipt import Receipt
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
"""Seconds beyond its deadline after which a job counts as hung. A large photo takes a while even without steps."""

MIN_DEADLINE = 0.05
"""Seconds of deadline for a job whose deadline passed in the queue: it gets the draft."""

START_BACKOFF = (0.0, 1.0, 5.0, 30.0)
"""Seconds before each attempt to start a worker; the last value repeats."""

MAX_FAILED_STARTS = 3
"""Failed starts in a row after which new jobs are refused, until a start succeeds."""


class WorkerPool:
    """Runs jobs on one worker for each device.

    Attributes:
        workers: one for each device.
        restarts: how often a worker was lost while it had a job.
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
        """Start the workers and take jobs."""
        self._loops = [asyncio.create_task(self._work_loop(worker)) for worker in self.workers]

    async def stop(self) -> None:
        """End all workers."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def cancel(self, job: Job) -> None:
        """Stop a running job before its next step."""
        job.cancel_requested = True
        if (worker := self._running.get(job.id)) is not None:
            await worker.cancel(job.id)

    async def _work_loop(self, worker: WorkerHandle) -> None:
        while True:
            await self._start_until_ready(worker)
            waiting = asyncio.create_task(self._store.wait_for_job())
            exited = asyncio.create_task(worker.exited.wait())
            try:
                await asyncio.wait({waiting, exited}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                exited.cancel()
            # No await between taking the job and running it, or a cancelled loop would lose the job.
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
                self._log.error("worker did not start", device=worker.device, reason=str(loss))
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
            self._log.warning("worker lost", device=worker.device, reason=str(loss), attempt=job.attempts)
            self._requeue_or_fail(job, loss)
        except AntiI2VError as error:
            self._fail(job, error)
        except asyncio.CancelledError:
            self._fail(job, JobFailed("the server stopped before the photo was done"))
            raise
        except Exception as error:  # the loop must survive and take the next job
            self._log.error("unexpected error", error=type(error).__name__)
            self._fail(job, JobFailed("an internal error occurred: see the server's log, and report it"))
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

        def record(progress: Progress) -> None:
            job.record_step(progress.step, progress.steps, progress.loss)

        return task, record, min(self._settings.job_timeout, deadline + DEADLINE_GRACE)

    def _finish(self, job: Job, result: Result) -> None:
        if job.cancel_requested:  # it finished before the cancel arrived
            job.cancel()
        else:
            job.finish(result)

    def _requeue_or_fail(self, job: Job, loss: WorkerLost) -> None:
        if job.cancel_requested:
            job.cancel()
        elif job.attempts < MAX_ATTEMPTS:
            self._store.requeue(job)
        else:
            self._fail(job, JobFailed(f"the worker was lost {MAX_ATTEMPTS} times with this photo: {loss}"))

    def _fail(self, job: Job, error: AntiI2VError) -> None:
        if job.cancel_requested:
            job.cancel()
        else:
            job.fail(error, problem_of(error).to_dict())
