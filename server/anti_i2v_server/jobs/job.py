"""A job: a photo, its options, its events and its result.

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

from anti_i2v.receipts.receipt import Receipt
from anti_i2v_server.jobs.job_options import JobOptions

__all__ = ["MAX_EVENTS", "Event", "Job", "Result", "State", "effect_summary"]

MAX_EVENTS = 256
"""Events that a job keeps for clients that connect late; older ones are dropped."""


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether no other state can follow."""
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
    """An event of a job. `data` holds plain values and becomes JSON."""

    number: int
    name: str
    data: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """The protected file, its format (one of `anti_i2v.images.formats.FORMATS`) and its receipt."""

    file: bytes = field(repr=False)
    format: str
    receipt: Receipt = field(repr=False)


@dataclass(eq=False)
class Job:
    """A job. Only its own methods change its state.

    Attributes:
        id: unguessable.
        owner: id of the token that submitted it; other clients cannot see it.
        number: jobs of one priority run in this order.
        photo: the original file, dropped when the job ends.
        clock: returns seconds.
        key: the client's idempotency key.
        digest: SHA-256 of the photo, only with a key: a repeated key must come with the same photo.
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
        """The place in the queue; lower runs first."""
        return self.options.priority == "bulk", self.number

    @property
    def stored_bytes(self) -> int:
        """Bytes of the photo or the result in memory."""
        return len(self.photo or b"") + (len(self.result.file) if self.result is not None else 0)

    def set_position(self, position: int) -> None:
        """Set the place among waiting jobs; 0 is next."""
        if position != self.position:
            self.position = position
            self._publish("queued", {"position": position})

    def start(self) -> None:
        """Enter the state "running"."""
        self._transition_to(State.RUNNING)
        self.attempts, self.position = self.attempts + 1, None
        self._publish("started", {"attempt": self.attempts})

    def record_step(self, step: int, steps: int, loss: float) -> None:
        """Record a step of the optimisation."""
        self.step, self.steps = step, steps
        self._publish("step", {"step": step, "steps": steps, "loss": loss})

    def requeue(self) -> None:
        """Return to the state "queued" after the worker was lost."""
        self._transition_to(State.QUEUED)
        self.step, self.steps = 0, None

    def finish(self, result: Result) -> None:
        """End with a result."""
        self._transition_to(State.DONE)
        self.result = result
        self._publish("effect", effect_summary(result.receipt))
        self._publish("done", {"format": result.format.lower(), "bytes": len(result.file)})

    def fail(self, error: Exception, problem: dict[str, Any]) -> None:
        """End with an error; `problem` is the data of its event."""
        self._transition_to(State.FAILED)
        self.error = error
        self._publish("failed", problem)

    def cancel(self) -> None:
        """End without a result, because the client cancelled."""
        self._transition_to(State.CANCELLED)
        self._publish("cancelled", {})

    async def wait_until_ended(self) -> None:
        """Wait until the job is done, failed or cancelled."""
        while not self.state.ended:
            await self._changed.wait()

    async def follow_events(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield every event with a number above `after`, until the job has ended."""
        while True:
            changed, ended = self._changed, self.state.ended
            for event in [event for event in self.events if event.number > after]:
                after = event.number
                yield event
            if ended:
                return
            await changed.wait()

    def _transition_to(self, state: State) -> None:
        if state not in _TRANSITIONS[self.state]:
            raise RuntimeError(f"a job that is {self.state} cannot become {state}")
        self.state = state
        if state.ended:
            self.photo, self.position, self.ended_at = None, None, self.clock()

    def _publish(self, name: str, data: dict[str, Any]) -> None:
        self._event_count += 1
        self.events.append(Event(self._event_count, name, data))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def effect_summary(receipt: Receipt) -> dict[str, Any]:
    """Return the number of comparisons won against the random control, the number of all, and the PSNR."""
    return {"beatsRandom": receipt.beats_random, "checks": receipt.compared, "psnr": receipt.imperceptibility.psnr}
