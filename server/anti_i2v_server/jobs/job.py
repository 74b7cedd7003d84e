"""One job: a photo, what is wanted of it, what happened so far, and what became of it.

queued -> running -> done
  |  ^------|  |---> failed
  |------------|---> cancelled
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from anti_i2v.receipt import Receipt
from anti_i2v_server.jobs.job_options import JobOptions

__all__ = ["MAX_EVENTS", "Event", "Job", "Result", "State"]

MAX_EVENTS = 256
"""Events that a job keeps for who comes late."""


class State(StrEnum):
    """What a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return not _TRANSITIONS[self]


_TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.DONE, State.FAILED, State.CANCELLED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class Event:
    """Something that happened; `data` is plain and becomes JSON."""

    number: int
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """The protected file, one of `anti_i2v.photo.FORMATS`, and its receipt."""

    file: bytes = field(repr=False)
    format: str
    receipt: Receipt = field(repr=False)


@dataclass(eq=False)
class Job:
    """A job, changed only by its own methods.

    Attributes:
        id: unguessable.
        owner: who submitted it: nobody else sees it.
        number: jobs of one priority run in this order.
        photo: the original file, only until the job ends.
        key: what its owner named the submission, None where nothing did.
        digest: SHA-256 of the photo where there is a key: the same key must come with the same photo.
        clock: `time.monotonic`, or a test's.
    """

    id: str
    owner: str
    number: int
    options: JobOptions
    photo: bytes | None = field(repr=False)
    clock: Callable[[], float] = field(repr=False)
    state: State = State.QUEUED
    attempts: int = 0
    position: int | None = None
    step: int = 0
    steps: int | None = None
    result: Result | None = field(default=None, repr=False)
    error: Exception | None = None
    cancel_requested: bool = False
    ended_at: float | None = None
    key: str | None = None
    digest: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.submitted_at = self.clock()
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._event_count = 0
        self._changed = asyncio.Event()

    @property
    def sort_key(self) -> tuple[bool, int]:
        """Lower comes first."""
        return self.options.priority == "bulk", self.number

    @property
    def stored_bytes(self) -> int:
        """Bytes that it holds."""
        return len(self.photo or b"") + (len(self.result.file) if self.result is not None else 0)

    def set_position(self, position: int) -> None:
        """Its place among those that wait, 0 for the next."""
        if position != self.position:
            self.position = position
            self._publish("queued", {"position": position})

    def start(self) -> None:
        """A worker takes it."""
        self._transition_to(State.RUNNING)
        self.attempts, self.position = self.attempts + 1, None
        self._publish("started", {"attempt": self.attempts})

    def record_step(self, step: int, steps: int, loss: float) -> None:
        """A step was taken."""
        self.step, self.steps = step, steps
        self._publish("step", {"step": step, "steps": steps, "loss": loss})

    def requeue(self) -> None:
        """Its worker was lost: it waits again."""
        self._transition_to(State.QUEUED)
        self.step, self.steps = 0, None

    def finish(self, result: Result) -> None:
        """It is protected."""
        self._transition_to(State.DONE)
        self.result = result
        self._publish("effect", effect_summary(result.receipt))
        self._publish("done", {"format": result.format.lower(), "bytes": len(result.file)})

    def fail(self, error: Exception, told: dict[str, Any]) -> None:
        """It ended without a result; `told` is the problem as clients read it."""
        self._transition_to(State.FAILED)
        self.error = error
        self._publish("failed", told)

    def cancel(self) -> None:
        """It ended because somebody wanted that."""
        self._transition_to(State.CANCELLED)
        self._publish("cancelled", {})

    async def wait_until_ended(self) -> None:
        """Until it has ended."""
        while not self.state.ended:
            await self._changed.wait()

    async def follow_events(self, after: int = 0) -> AsyncIterator[Event]:
        """Every event with a higher number, until the job has ended and all was told."""
        while True:
            news, ended = self._changed, self.state.ended
            for event in [event for event in self.events if event.number > after]:
                after = event.number
                yield event
            if ended:
                return
            await news.wait()

    def _transition_to(self, state: State) -> None:
        if state not in _TRANSITIONS[self.state]:
            raise RuntimeError(f"a job that is {self.state} cannot become {state}")
        self.state = state
        if state.ended:
            self.photo, self.position, self.ended_at = None, None, self.clock()

    def _publish(self, name: str, data: dict[str, Any]) -> None:
        self._event_count += 1
        self.events.append(Event(self._event_count, name, data))
        news, self._changed = self._changed, asyncio.Event()
        news.set()


def effect_summary(receipt: Receipt) -> dict[str, Any]:
    """What the receipt found, in two numbers: comparisons with a random change, and how many were clearly won."""
    return {"beatsRandom": receipt.beats_random, "checks": receipt.compared, "psnr": receipt.imperceptibility.psnr}
