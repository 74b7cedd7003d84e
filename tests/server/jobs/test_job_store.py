"""Job states, queue order and limits, checked against a model for any sequence of actions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.receipt import Receipt
from anti_i2v_server.errors import JobUnknown, QueueFull
from anti_i2v_server.jobs.job import MAX_EVENTS, Job, Result, State
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.settings import Settings

LIMITS = Settings(queue_limit=4, store_limit=60, result_seconds=100)
PHOTO = b"0123456789"
OWNER = "one"

RECEIPT = Receipt(
    recipe="draft",
    preset=None,
    seed=0,
    budget_asked=8,
    budget_spent=8,
    steps=0,
    steps_asked=0,
    stopped="steps",
    imperceptibility=Imperceptibility(
        psnr=40.0,
        ssim=0.9,
        de2000_mean=1.0,
        de2000_p95=2.0,
        smooth_area_rms=None,
        max_levels=8,
        mean_levels=1.0,
        sampled_share=1.0,
    ),
    working_size=(64, 64),
    device="cpu",
)
RESULT = Result(b"protected", "PNG", RECEIPT)


class Jobs(RuleBasedStateMachine):
    """Submit, run, lose workers, cancel and wait, in any order."""

    running: Bundle[Job] = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.store = JobStore(LIMITS, lambda: self.now)
        self.submitted: list[Job] = []
        self.queued: list[Job] = []

    @rule(priority=st.sampled_from(["interactive", "bulk"]))
    def submit(self, priority: str) -> None:
        held = sum(job.stored_bytes for job in self.submitted if self.is_kept(job))
        full = len(self.queued) >= LIMITS.queue_limit or held + len(PHOTO) > LIMITS.store_limit
        try:
            job = self.store.add(JobOptions(priority=priority), PHOTO, OWNER)
        except QueueFull:
            assert full
            return
        assert not full
        self.submitted.append(job)
        self.queued.append(job)
        self.queued.sort(key=lambda each: (each.options.priority == "bulk", each.number))

    @rule(target=running)
    def take(self) -> Any:
        job = self.store.take()
        assert job is (self.queued.pop(0) if self.queued else None)
        return job

    @rule(job=running, step=st.integers(1, 9))
    def step(self, job: Job | None, step: int) -> None:
        if job is not None and job.state is State.RUNNING:
            job.record_step(step, 9, 0.5)

    @rule(job=consumes(running))
    def finish(self, job: Job | None) -> None:
        if job is not None and job.state is State.RUNNING:
            job.finish(RESULT)
            assert self.store.get(job.id, OWNER).result is RESULT

    @rule(job=consumes(running))
    def fail(self, job: Job | None) -> None:
        if job is not None and job.state is State.RUNNING:
            job.fail(ValueError("no"), {"detail": "no"})

    @rule(job=consumes(running))
    def lose_the_worker(self, job: Job | None) -> None:
        if job is not None and job.state is State.RUNNING:
            self.store.requeue(job)
            self.queued.append(job)
            self.queued.sort(key=lambda each: (each.options.priority == "bulk", each.number))

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queued))
        assert self.store.cancel_waiting(job)
        assert not self.store.cancel_waiting(job)
        self.queued.remove(job)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def try_a_forbidden_transition(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.submitted))
        before = job.state
        if before.ended:
            for action in (job.start, job.requeue, job.cancel, lambda: job.finish(RESULT)):
                with pytest.raises(RuntimeError, match="cannot become"):
                    action()
        assert job.state is before

    @rule(seconds=st.sampled_from([1.0, 50.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def is_kept(self, job: Job) -> bool:
        return job.ended_at is None or self.now - job.ended_at < LIMITS.result_seconds

    @invariant()
    def a_job_is_kept_until_it_expires(self) -> None:
        for job in self.submitted:
            if self.is_kept(job):
                assert self.store.get(job.id, OWNER) is job
            else:
                with pytest.raises(JobUnknown):
                    self.store.get(job.id, OWNER)

    @invariant()
    def another_owner_sees_no_job(self) -> None:
        for job in self.submitted:
            with pytest.raises(JobUnknown):
                self.store.get(job.id, "two")

    @invariant()
    def the_original_is_kept_only_until_the_job_ends(self) -> None:
        for job in self.submitted:
            assert (job.photo is None) == job.state.ended
            assert (job.result is not None) == (job.state is State.DONE)

    @invariant()
    def positions_follow_the_order(self) -> None:
        assert [job.position for job in self.queued] == list(range(len(self.queued)))
        assert self.store.waiting_count == len(self.queued) <= LIMITS.queue_limit + len(self.submitted)

    @invariant()
    def events_are_numbered_and_the_last_one_names_the_final_state(self) -> None:
        for job in self.submitted:
            numbers = [event.number for event in job.events]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert len(numbers) <= MAX_EVENTS
            if job.state.ended:
                assert job.events[-1].name == job.state.value


TestJobs = Jobs.TestCase
TestJobs.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_late_client_gets_only_newer_events() -> None:
    async def follow() -> list[str]:
        job = JobStore(LIMITS).add(JobOptions(), PHOTO, OWNER)
        job.start()
        for step in range(1, 4):
            job.record_step(step, 3, 0.0)
        job.finish(RESULT)
        return [event.name async for event in job.follow_events(after=4)]

    assert asyncio.run(follow()) == ["step", "effect", "done"]


def test_only_the_latest_of_many_events_are_kept() -> None:
    job = JobStore(LIMITS).add(JobOptions(), PHOTO, OWNER)
    job.start()
    for step in range(1000):
        job.record_step(step, 1000, 0.0)
    assert len(job.events) == MAX_EVENTS
    assert job.events[-1].data["step"] == 999


def test_an_idempotency_key_belongs_to_one_owner() -> None:
    store = JobStore(LIMITS)
    mine = store.add(JobOptions(), PHOTO, OWNER, "key")
    assert store.add(JobOptions(), PHOTO, "another", "key") is not mine
    assert store.add(JobOptions(), PHOTO, OWNER, "key") is mine
    assert store.waiting_count == 2


def test_a_full_queue_still_returns_the_job_of_a_known_key() -> None:
    store = JobStore(LIMITS)
    jobs = [store.add(JobOptions(), PHOTO, OWNER, f"key {number}") for number in range(LIMITS.queue_limit)]
    assert store.add(JobOptions(), PHOTO, OWNER, "key 0") is jobs[0]
    with pytest.raises(QueueFull):
        store.add(JobOptions(), PHOTO, OWNER, "a new key")


def test_a_key_is_forgotten_with_its_job() -> None:
    store = JobStore(LIMITS)
    job = store.add(JobOptions(), PHOTO, OWNER, "key")
    store.cancel_waiting(job)
    assert store.add(JobOptions(), PHOTO, OWNER, "key") is job
    store.remove(job)
    assert store.add(JobOptions(), b"another photo", OWNER, "key") is not job
