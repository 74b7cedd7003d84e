"""Worker processes that crash, hang, use too much memory or do not start: each is replaced and its job goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anti_i2v.errors import Cancelled, PhotoError
from anti_i2v_server.errors import JobFailed, WorkerLost
from anti_i2v_server.jobs.job import Job, State
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.protection.worker_pool import MAX_FAILED_STARTS, WorkerPool
from anti_i2v_server.settings import Settings

TIMEOUT = 60.0
"""Seconds after which a test that still waits has failed."""

DRAFT = JobOptions(recipe="draft")
BALANCED = JobOptions(recipe="balanced")


@dataclass
class Protection:
    """A service with a real pool of workers."""

    store: JobStore
    pool: WorkerPool
    service: JobService

    @classmethod
    def make(cls, log: Any, **settings: Any) -> Protection:
        limits = Settings(surrogates=("embedded",), **settings)
        store = JobStore(limits)
        pool = WorkerPool(store, limits, log, lambda _: None)
        return cls(store, pool, JobService(limits, store, pool))

    @property
    def worker_pid(self) -> int:
        pid = self.pool.workers[0].pid
        assert pid is not None
        return pid


Body = Callable[[Protection], Awaitable[None]]


def run(body: Body, log: Any, **settings: Any) -> None:
    """Run `body` with workers of its own."""

    async def inside() -> None:
        protection = Protection.make(log, **settings)
        async with protection.service.running(), asyncio.timeout(TIMEOUT):
            await body(protection)

    asyncio.run(inside())


@pytest.fixture(scope="module")
def run_shared() -> Iterator[Callable[[Body], None]]:
    """Run `body` with a worker that other tests use too."""
    with asyncio.Runner() as runner:
        # The event loop pauses between tests, so the age of the last heartbeat means nothing.
        protection = Protection.make(SilentLog(), heartbeat_timeout=1e6)
        running: AbstractAsyncContextManager[None] = protection.service.running()

        async def inside(body: Body) -> None:
            async with asyncio.timeout(TIMEOUT):
                await body(protection)

        runner.run(running.__aenter__())
        yield lambda body: runner.run(inside(body))
        runner.run(running.__aexit__(None, None, None))


class SilentLog:
    """A log that drops its lines."""

    def info(self, event: str, **more: Any) -> None:
        pass

    warning = error = info


async def until_event(job: Job, name: str) -> None:
    async for event in job.follow_events():
        if event.name == name:
            return


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_hanging_worker_is_replaced_and_its_job_is_tried_again(log: Any, photo: bytes) -> None:
    async def body(protection: Protection) -> None:
        job = protection.service.submit(BALANCED, photo, "me")
        await until_event(job, "step")
        os.kill(protection.worker_pid, signal.SIGSTOP)
        await job.wait_until_ended()
        assert (job.state, job.attempts, protection.pool.restarts) == (State.DONE, 2, 1)
        lost = [line for line in log.lines if line["event"] == "worker lost"]
        assert [line["reason"] for line in lost] == ["it sent no heartbeat for 2 s"]

    run(body, log, heartbeat_timeout=2.0)


@pytest.mark.slow
def test_a_job_that_takes_too_long_loses_its_worker(log: Any, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a deadline of three seconds, no worker can finish within one.
    monkeypatch.setattr("anti_i2v_server.protection.worker_pool.DEADLINE_GRACE", -2.0)

    async def body(protection: Protection) -> None:
        job = protection.service.submit(JobOptions(recipe="balanced", deadline=3.0), photo, "me")
        await job.wait_until_ended()
        assert job.state is State.FAILED
        assert isinstance(job.error, JobFailed)
        assert "it took longer than" in str(job.error)
        draft = JobOptions(recipe="draft", deadline=60.0)
        assert (await protection.service.protect(draft, photo, "me", never())).format == "PNG"

    run(body, log)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_worker_above_its_memory_limit_is_replaced_and_small_photos_still_work(
    log: Any, photo: bytes, encode: Any
) -> None:
    large = encode(Image.fromarray(np.zeros((4000, 4000, 3), np.uint8)))

    async def body(protection: Protection) -> None:
        with pytest.raises(JobFailed, match="it exceeded its memory limit"):
            await protection.service.protect(DRAFT, large, "me", never())
        assert protection.pool.restarts == 2
        assert (await protection.service.protect(DRAFT, photo, "me", never())).format == "PNG"

    run(body, log, worker_memory=300 * 2**20)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_job_that_does_not_stop_in_time_loses_its_worker(log: Any, photo: bytes) -> None:
    async def body(protection: Protection) -> None:
        job = protection.service.submit(BALANCED, photo, "me")
        await until_event(job, "step")
        os.kill(protection.worker_pid, signal.SIGSTOP)
        protection.service.cancel(job.id, "me")
        await job.wait_until_ended()
        assert job.state is State.CANCELLED
        assert protection.pool.restarts == 1

    run(body, log, cancel_grace=0.5, heartbeat_timeout=1000.0)


def test_a_worker_above_its_memory_limit_ends_itself() -> None:
    async def body() -> None:
        with pytest.raises(WorkerLost, match="it exceeded its memory limit"):
            await WorkerHandle("auto", Settings(worker_memory=1)).start()

    asyncio.run(body())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_the_system_refuses_memory_that_grows_too_fast_to_be_measured() -> None:
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


def test_a_worker_without_its_device_does_not_start() -> None:
    async def body() -> None:
        with pytest.raises(WorkerLost, match="it ended with status 1"):
            await WorkerHandle("cuda:7", Settings(surrogates=("embedded",))).start()

    asyncio.run(body())


def test_after_several_failed_starts_the_pool_says_so(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anti_i2v_server.protection.worker_pool.START_BACKOFF", (0.0,))
    monkeypatch.setattr("anti_i2v_server.protection.worker_handle.WORKER_COMMAND", ("-S", "-c", "raise SystemExit(1)"))

    async def body(protection: Protection) -> None:
        while not protection.pool.all_starts_failed:
            await asyncio.sleep(0.01)
        assert [line["event"] for line in log.lines][:MAX_FAILED_STARTS] == ["worker did not start"] * MAX_FAILED_STARTS

    run(body, log)


def test_interactive_photos_come_before_bulk(run_shared: Callable[[Body], None], photo: bytes) -> None:
    async def body(protection: Protection) -> None:
        bulk, interactive = (
            protection.service.submit(JobOptions(recipe="draft", priority=priority), photo, "me")
            for priority in ("bulk", "interactive")
        )
        await asyncio.gather(bulk.wait_until_ended(), interactive.wait_until_ended())
        assert bulk.ended_at is not None
        assert interactive.ended_at is not None
        assert interactive.ended_at < bulk.ended_at

    run_shared(body)


def test_a_refused_photo_keeps_its_worker(run_shared: Callable[[Body], None]) -> None:
    async def body(protection: Protection) -> None:
        with pytest.raises(PhotoError, match="is not an image"):
            await protection.service.protect(DRAFT, b"nothing", "me", never())
        assert protection.pool.restarts == 0

    run_shared(body)


def test_disconnecting_cancels_the_job_and_drops_it(run_shared: Callable[[Body], None], photo: bytes) -> None:
    async def body(protection: Protection) -> None:
        disconnect, before = asyncio.Event(), {job.id for job in protection.store.jobs}
        waiting = asyncio.create_task(protection.service.protect(BALANCED, photo, "me", wait_for(disconnect)))
        while not (jobs := [job for job in protection.store.jobs if job.id not in before]):
            await asyncio.sleep(0)
        job = jobs[0]
        await until_event(job, "step")
        disconnect.set()
        with pytest.raises(Cancelled, match="the client disconnected"):
            await waiting
        await job.wait_until_ended()
        assert job.state is State.CANCELLED
        assert job.photo is None
        assert protection.pool.restarts == 0

    run_shared(body)


async def wait_for(event: asyncio.Event) -> None:
    await event.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_worker_that_dies_while_idle_is_replaced(run_shared: Callable[[Body], None], photo: bytes) -> None:
    async def body(protection: Protection) -> None:
        await protection.service.protect(DRAFT, photo, "me", never())
        os.kill(protection.worker_pid, signal.SIGTERM)
        await protection.pool.workers[0].exited.wait()
        assert (await protection.service.protect(DRAFT, photo, "me", never())).format == "PNG"

    run_shared(body)


def test_a_worker_never_loads_torch(photo: bytes) -> None:
    program = """
import io, sys, threading
from anti_i2v_server.protection.worker_process import WorkerProcess
from anti_i2v_server.protection.ipc import Channel, Setup, Task
worker = WorkerProcess(Channel(io.BytesIO(), io.BytesIO()), Setup("auto", ("embedded",), 2**40, 10**8))
photo = sys.stdin.buffer.read()
for recipe in ("draft", "balanced"):
    worker.protect(Task("id", photo, recipe, None, 0.5, 0, None, False), threading.Event())
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


def test_a_worker_started_by_hand_explains_itself() -> None:
    found = subprocess.run(  # our own interpreter
        [sys.executable, "-m", "anti_i2v_server.protection.worker_process"], input=b"", capture_output=True, check=False
    )
    assert found.returncode == 1
    assert b"do not run it by hand" in found.stderr


def test_a_worker_that_sends_an_invalid_message_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = ("-S", "-c", "print('x' * 100, flush=True); import time; time.sleep(60)")
    monkeypatch.setattr("anti_i2v_server.protection.worker_handle.WORKER_COMMAND", garbage)

    async def body() -> None:
        with pytest.raises(WorkerLost, match="it sent an invalid message"):
            await WorkerHandle("auto", Settings()).start()

    asyncio.run(body())
