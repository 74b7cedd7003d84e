"""The job service with an executor that never takes a job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from anti_i2v.errors import Cancelled
from anti_i2v_server.errors import JobPending, JobUnknown, NotReady, Stopping
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.settings import Settings

TIMEOUT = 20.0
"""Seconds after which a test that still waits has failed: less than the default duration of a stream."""

DRAFT = JobOptions(recipe="draft")


def make_service(executor: Any, **settings: Any) -> tuple[JobService, JobStore]:
    limits = Settings(**settings)
    store = JobStore(limits)
    return JobService(limits, store, executor), store


def test_a_stopped_server_refuses_new_jobs_and_fails_queued_ones(photo: bytes, idle_executor: Any) -> None:
    async def body() -> None:
        service, _ = make_service(idle_executor)
        job = service.submit(DRAFT, photo, "me")
        service.stop()
        assert isinstance(job.error, Stopping)
        with pytest.raises(Stopping):
            service.submit(DRAFT, photo, "me")
        assert [event.name async for event in service.events(job, 0)] == ["queued", "failed"]

    asyncio.run(body())


def test_no_job_is_accepted_while_no_worker_starts(photo: bytes, idle_executor: Any) -> None:
    idle_executor.all_starts_failed = True
    service, store = make_service(idle_executor)
    with pytest.raises(NotReady, match="the worker does not start"):
        service.submit(DRAFT, photo, "me")
    assert store.jobs == []


def test_a_stream_ends_after_its_longest_duration_even_if_nothing_happens(photo: bytes, idle_executor: Any) -> None:
    async def body() -> None:
        service, _ = make_service(idle_executor, stream_seconds=0.1)
        job = service.submit(DRAFT, photo, "me")
        async with asyncio.timeout(TIMEOUT):
            assert [event.name async for event in service.events(job, 0)] == ["queued"]

    asyncio.run(body())


def test_expired_results_are_removed_without_a_request(
    photo: bytes, idle_executor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anti_i2v_server.jobs.service.EXPIRY_INTERVAL", 0.01)

    async def body() -> None:
        service, store = make_service(idle_executor, result_seconds=0.01)
        async with service.running():
            job = service.submit(DRAFT, photo, "me")
            service.cancel(job.id, "me")
            async with asyncio.timeout(TIMEOUT):
                while store.jobs:
                    await asyncio.sleep(0.01)

    asyncio.run(body())


def test_a_job_without_a_result_says_why(photo: bytes, idle_executor: Any) -> None:
    service, _ = make_service(idle_executor)
    job = service.submit(DRAFT, photo, "me")
    with pytest.raises(JobPending, match="the job is queued"):
        service.result(job.id, "me")
    service.cancel(job.id, "me")
    with pytest.raises(Cancelled, match="the job was cancelled"):
        service.result(job.id, "me")
    service.cancel(job.id, "me")
    with pytest.raises(JobUnknown):
        service.result(job.id, "me")
