"""Job states, the order of the queue and its bounds, against a model, for any sequence of what may happen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipt import Receipt
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
        relief=None,
        max_levels=8,
        mean_levels=1.0,
        sampled_share=1.0,
    ),
    working_size=(64, 64),
    device="cpu",
)
RESULT = Result(b"protected", "PNG", RECEIPT)


class Jobs(RuleBasedStateMachine):
    """Submits, works, loses workers, cancels and waits in any order."""

    waiting: Bundle[Job] = Bundle("waiting")
    running: Bundle[Job] = Bundle("running")
    ended: Bundle[Job] = Bundle("ended")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.store = JobStore(LIMITS, lambda: self.now)
        self.known: list[Job] = []
        self.order: list[Job] = []
        self.seen: dict[str, int] = {}

    @rule(priority=st.sampled_from(["interactive", "bulk"]))
    def submit(self, priority: str) -> None:
        held = sum(job.stored_bytes for job in self.known if self.is_kept(job))
        full = len(self.order) >= LIMITS.queue_limit or held + len(PHOTO) > LIMITS.store_limit
        try:
            job = self.store.add(JobOptions(priority=priority), PHOTO, OWNER)
        except QueueFull:
            assert full
            return
        assert not full
        self.known.append(job)
        self.order.append(job)
        self.order.sort(key=lambda each: (each.options.priority == "bulk", each.number))

    @rule(target=running)
    def take(self) -> Any:
        job = self.store.take()
        assert job is (self.order.pop(0) if self.order else None)
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
            self.order.append(job)
            self.order.sort(key=lambda each: (each.options.priority == "bulk", each.number))

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.order))
        assert self.store.cancel_waiting(job)
        assert not self.store.cancel_waiting(job)
        self.order.remove(job)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def do_what_is_not_allowed(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.known))
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
    def a_job_is_known_until_it_expires(self) -> None:
        for job in self.known:
            if self.is_kept(job):
                assert self.store.get(job.id, OWNER) is job
            else:
                with pytest.raises(JobUnknown):
                    self.store.get(job.id, OWNER)

    @invariant()
    def nobody_elses_job_is_seen(self) -> None:
        for job in self.known:
            with pytest.raises(JobUnknown):
                self.store.get(job.id, "two")

    @invariant()
    def the_original_is_held_only_until_the_job_ends(self) -> None:
        for job in self.known:
            assert (job.photo is None) == job.state.ended
            assert (job.result is not None) == (job.state is State.DONE)

    @invariant()
    def positions_are_the_order(self) -> None:
        assert [job.position for job in self.order] == list(range(len(self.order)))
        assert self.store.waiting_count == len(self.order) <= LIMITS.queue_limit + len(self.known)

    @invariant()
    def events_are_numbered_and_the_last_one_tells_the_end(self) -> None:
        for job in self.known:
            numbers = [event.number for event in job.events]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert len(numbers) <= MAX_EVENTS
            if job.state.ended:
                assert job.events[-1].name == job.state.value


TestJobs = Jobs.TestCase
TestJobs.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_who_comes_late_is_told_only_what_is_new() -> None:
    async def follow() -> list[str]:
        job = JobStore(LIMITS).add(JobOptions(), PHOTO, OWNER)
        job.start()
        for step in range(1, 4):
            job.record_step(step, 3, 0.0)
        job.finish(RESULT)
        return [event.name async for event in job.follow_events(after=4)]

    assert asyncio.run(follow()) == ["step", "effect", "done"]


def test_of_very_many_events_the_latest_are_kept() -> None:
    job = JobStore(LIMITS).add(JobOptions(), PHOTO, OWNER)
    job.start()
    for step in range(1000):
        job.record_step(step, 1000, 0.0)
    assert len(job.events) == MAX_EVENTS
    assert job.events[-1].data["step"] == 999


def test_the_key_of_one_owner_is_nothing_to_another() -> None:
    board = JobStore(LIMITS)
    mine = board.add(JobOptions(), PHOTO, OWNER, "key")
    assert board.add(JobOptions(), PHOTO, "another", "key") is not mine
    assert board.add(JobOptions(), PHOTO, OWNER, "key") is mine
    assert board.waiting_count == 2


def test_a_full_queue_still_knows_what_it_has_under_a_key() -> None:
    board = JobStore(LIMITS)
    jobs = [board.add(JobOptions(), PHOTO, OWNER, f"key {number}") for number in range(LIMITS.queue_limit)]
    assert board.add(JobOptions(), PHOTO, OWNER, "key 0") is jobs[0]
    with pytest.raises(QueueFull):
        board.add(JobOptions(), PHOTO, OWNER, "a new key")


def test_a_key_is_forgotten_with_its_job() -> None:
    board = JobStore(LIMITS)
    job = board.add(JobOptions(), PHOTO, OWNER, "key")
    board.cancel_waiting(job)
    assert board.add(JobOptions(), PHOTO, OWNER, "key") is job  # an answer that was lost, not a wish for a new one
    board.remove(job)
    assert board.add(JobOptions(), b"another photo", OWNER, "key") is not job
