"""Workers that crash, hang, grow too large or do not start: replaced, told, and nobody else's concern."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anti_i2v.errors import Cancelled, PhotoError
from anti_i2v_server.errors import JobFailed, NotReady, Stopping, WorkerLost
from anti_i2v_server.jobs.job import Job, State
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.protection.worker_pool import MAX_FAILED_STARTS
from anti_i2v_server.settings import Settings

PATIENCE = 60.0
DRAFT = JobOptions(recipe="draft")
BALANCED = JobOptions(recipe="balanced")


def run(body: Callable[[JobService], Awaitable[None]], log: Any, **settings: Any) -> None:
    """A service with real workers, for as long as a test needs it."""

    async def inside() -> None:
        service = JobService(Settings(surrogates=("embedded",), **settings), log)
        async with service.running():
            async with asyncio.timeout(PATIENCE):
                await body(service)

    asyncio.run(inside())


def pid_of(service: JobService) -> int:
    process = service.pool.workers[0]._process
    assert process is not None
    return process.pid


async def first(job: Job, name: str, times: int = 1) -> None:
    """Until an event has happened so often."""
    async for event in job.follow_events():
        times -= event.name == name
        if not times:
            return


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_worker_that_hangs_is_replaced_and_its_job_tried_again(log: Any, photo: bytes) -> None:
    async def body(service: JobService) -> None:
        job = service.submit(BALANCED, photo, "me")
        await first(job, "step")
        os.kill(pid_of(service), signal.SIGSTOP)
        await job.wait_until_ended()
        assert (job.state, job.attempts, service.pool.restarts) == (State.DONE, 2, 1)
        lost = [line for line in log.lines if line["event"] == "worker lost"]
        assert [line["why"] for line in lost] == ["it was not heard of for 2 s"]

    run(body, log, heartbeat_timeout=2.0)


@pytest.mark.slow
def test_a_job_that_takes_too_long_loses_its_worker(log: Any, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "anti_i2v_server.protection.worker_pool.DEADLINE_GRACE", -2.0
    )  # of a deadline of four seconds: no worker can keep it

    async def body(service: JobService) -> None:
        job = service.submit(JobOptions(recipe="balanced", deadline=3.0), photo, "me")
        await job.wait_until_ended()
        assert job.state is State.FAILED
        assert isinstance(job.error, JobFailed)
        assert "it took longer than" in str(job.error)
        result = await service.protect(DRAFT_OF_A_MINUTE, photo, "me", never())
        assert result.format == "PNG"

    run(body, log)


DRAFT_OF_A_MINUTE = JobOptions(recipe="draft", deadline=60.0)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is watched where the system tells it")
def test_a_worker_above_its_memory_is_replaced_and_small_photos_still_work(log: Any, photo: bytes, encode: Any) -> None:
    large = encode(Image.fromarray(np.zeros((4000, 4000, 3), np.uint8)))

    async def body(service: JobService) -> None:
        with pytest.raises(JobFailed, match="it passed its memory limit"):
            await service.protect(DRAFT, large, "me", never())
        assert service.pool.restarts == 2
        assert (await service.protect(DRAFT, photo, "me", never())).format == "PNG"

    run(body, log, worker_memory=300 * 2**20)


def test_a_worker_ends_itself_above_its_memory() -> None:
    async def body() -> None:
        with pytest.raises(WorkerLost, match="it passed its memory limit"):
            await WorkerHandle("auto", Settings(worker_memory=1)).start()

    asyncio.run(body())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_memory_that_grows_too_fast_to_be_watched_is_refused_by_the_system() -> None:
    program = """
from anti_i2v_server.protection.memory_limit import limit_memory
limit_memory(200 * 2**20)
try:
    bytearray(2**30)
except MemoryError:
    print("refused")
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)  # noqa: S603  # our own interpreter
    assert found.stdout.strip() == b"refused"


def test_a_worker_that_does_not_start_is_told_and_no_job_is_taken(
    log: Any, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anti_i2v_server.protection.worker_pool.START_BACKOFF", (0.0,))

    async def body(service: JobService) -> None:
        while not service.pool.all_starts_failed:
            await asyncio.sleep(0.05)
        with pytest.raises(NotReady, match="the worker does not start"):
            service.submit(DRAFT, photo, "me")
        assert [line["event"] for line in log.lines][:MAX_FAILED_STARTS] == ["worker did not start"] * MAX_FAILED_STARTS

    run(body, log, devices=("cuda:7",))


def test_a_worker_that_dies_while_nothing_is_done_is_replaced(log: Any, photo: bytes) -> None:
    async def body(service: JobService) -> None:
        await service.protect(DRAFT, photo, "me", never())
        os.kill(pid_of(service), signal.SIGTERM)
        await service.pool.workers[0].exited.wait()
        assert (await service.protect(DRAFT, photo, "me", never())).format == "PNG"

    run(body, log)


def test_interactive_photos_come_before_bulk(log: Any, photo: bytes) -> None:
    async def body(service: JobService) -> None:
        jobs = [
            service.submit(JobOptions(recipe="draft", priority=each), photo, "me") for each in ("bulk", "interactive")
        ]
        await asyncio.gather(*(job.wait_until_ended() for job in jobs))
        assert jobs[1].ended_at is not None
        assert jobs[0].ended_at is not None
        assert jobs[1].ended_at < jobs[0].ended_at

    run(body, log)


def test_a_refused_photo_keeps_its_worker(log: Any) -> None:
    async def body(service: JobService) -> None:
        with pytest.raises(PhotoError, match="is not an image"):
            await service.protect(DRAFT, b"nothing", "me", never())
        assert service.pool.restarts == 0

    run(body, log)


def test_who_left_gets_nothing_and_nothing_is_kept(log: Any, photo: bytes) -> None:
    async def body(service: JobService) -> None:
        left = asyncio.Event()
        waiting = asyncio.create_task(service.protect(BALANCED, photo, "me", _set(left)))
        while not service.store.jobs or service.store.jobs[0].step == 0:
            await asyncio.sleep(0.02)
        job = service.store.jobs[0]
        left.set()
        with pytest.raises(Cancelled, match="the client went away"):
            await waiting
        await job.wait_until_ended()
        assert job.state is State.CANCELLED
        assert job.photo is None
        assert service.pool.restarts == 0

    run(body, log)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


@pytest.mark.slow
def test_a_job_that_does_not_stop_in_time_costs_its_worker(log: Any, photo: bytes) -> None:
    async def body(service: JobService) -> None:
        job = service.submit(BALANCED, photo, "me")
        await first(job, "step")
        os.kill(pid_of(service), signal.SIGSTOP)
        service.cancel(job.id, "me")
        await job.wait_until_ended()
        assert job.state is State.CANCELLED
        assert service.pool.restarts == 1

    run(body, log, cancel_grace=0.5, heartbeat_timeout=1000.0)


def test_a_server_that_stops_takes_nothing_and_fails_what_waits(photo: bytes, log: Any) -> None:
    async def body() -> None:
        service = JobService(Settings(), log)  # without workers
        job = service.submit(DRAFT, photo, "me")
        service.stop()
        assert isinstance(job.error, Stopping)
        with pytest.raises(Stopping):
            service.submit(DRAFT, photo, "me")
        assert [event.name async for event in service.events(job, 0)] == ["queued", "failed"]

    asyncio.run(body())


def test_a_stream_ends_after_its_time_though_nothing_happens(photo: bytes, log: Any) -> None:
    async def body() -> None:
        service = JobService(
            Settings(stream_seconds=0.1), log
        )  # without workers: nothing happens after the first event
        job = service.submit(DRAFT, photo, "me")
        async with asyncio.timeout(5):  # well below the default of a stream's life
            assert [event.name async for event in service.events(job, 0)] == ["queued"]

    asyncio.run(body())


def test_results_are_swept_away_though_nobody_asks(photo: bytes, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anti_i2v_server.jobs.service.EXPIRY_INTERVAL", 0.05)

    async def body(service: JobService) -> None:
        await service.submit(DRAFT, photo, "me").wait_until_ended()
        while service.store.jobs:
            await asyncio.sleep(0.05)

    run(body, log, result_seconds=0.2)


def test_a_worker_never_loads_torch(photo: bytes) -> None:
    """The worker's own code, in a process that can be asked what it has loaded."""
    program = """
import io, sys
from anti_i2v_server.protection.worker_process import WorkerProcess
from anti_i2v_server.protection.ipc import Channel, Setup, Task
import threading
worker = WorkerProcess(Channel(io.BytesIO(), io.BytesIO()), Setup("auto", ("embedded",), 2**40, 10**8))
for recipe in ("draft", "balanced"):
    task = Task("t", sys.stdin.buffer.read() if recipe == "draft" else done, recipe, None, 2.0, 0, None, False)
    done = task.photo
    worker._protect(task, threading.Event())
import anti_i2v_server.runner
print([name for name in ("torch", "kornia", "diffusers") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", program], input=photo, capture_output=True, check=True)  # noqa: S603  # our own interpreter
    assert found.stdout.strip() == b"[]", found


def test_the_server_never_loads_a_model_runtime() -> None:
    program = """
import sys
from anti_i2v_server.app import make_server
from anti_i2v_server.settings import Settings
import anti_i2v_server.runner
make_server(Settings())
print([name for name in ("torch", "kornia", "onnxruntime", "scipy", "skimage") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)  # noqa: S603  # our own interpreter
    assert found.stdout.strip() == b"[]", found


def test_a_worker_that_nobody_started_says_so() -> None:
    found = subprocess.run(  # our own interpreter
        [sys.executable, "-m", "anti_i2v_server.protection.worker_process"], input=b"", capture_output=True, check=False
    )
    assert found.returncode == 1
    assert b"started by that command alone" in found.stderr


def test_a_worker_that_speaks_nonsense_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "anti_i2v_server.protection.worker_handle.WORKER_COMMAND",
        ("-c", "print('x' * 100, flush=True); import time; time.sleep(60)"),
    )

    async def body() -> None:
        with pytest.raises(WorkerLost, match="it spoke nonsense"):
            await WorkerHandle("auto", Settings()).start()

    asyncio.run(body())
