"""The loop that every algorithm and both engines share: steps, a schedule, a deadline, and the best candidate kept.

It knows nothing of tensors: an engine says what a step, a score and a comparison are.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from anti_i2v.errors import Cancelled, RecipeError

__all__ = ["Problem", "Result", "Step", "run"]

Candidate = TypeVar("Candidate")


@dataclass(frozen=True)
class Step:
    """What a callback is told after each step. `loss` may stay on the device: reading it synchronises."""

    index: int
    steps: int
    loss: Any


@dataclass(frozen=True)
class Result(Generic[Candidate]):
    """What a descent found.

    Attributes:
        candidate: the best pixels, by `score`.
        score: their score, a photo each; never above that of the start.
        steps: how many steps were taken.
        stopped: "steps" when all were taken, "deadline" when time was up first.
    """

    candidate: Candidate
    score: Any
    steps: int
    stopped: Literal["steps", "deadline"]


class Problem(Protocol[Candidate]):
    """What an engine does on a photo.

    Attributes:
        own_score: whether candidates are compared by something else than the loss of the steps.
    """

    scores_separately: bool

    def step(self, candidate: Candidate, taken: int, length: float) -> tuple[Candidate, Any]:
        """The next candidate, `length` away (root mean square over the pixels), and the loss of the one given."""

    def score(self, candidate: Candidate) -> Any:
        """What candidates are compared by, a photo each; lower is better."""

    def keep_better(self, best: Candidate, score: Any, candidate: Candidate, loss: Any) -> tuple[Candidate, Any]:
        """The better of two candidates and its score, a photo each; a score that is not a number never wins."""

    def synchronize(self) -> None:
        """Until the device has done what it was told, so that time can be measured."""


@dataclass
class _Timer:
    """Stops early enough: the deadline stands, and a step that would pass it is not begun."""

    deadline: float | None
    step_seconds: float
    begun: float = field(default_factory=time.monotonic)

    def allows_a_step(self) -> bool:
        return self.deadline is None or time.monotonic() + self.step_seconds <= self.deadline

    def fits(self, taken: int, steps: int) -> int:
        """How many steps there will be: all of them, or those that the deadline leaves at the pace of the last one."""
        if self.deadline is None or self.step_seconds <= 0:
            return steps
        return min(steps, taken + max(1, int((self.deadline - time.monotonic()) / self.step_seconds)))

    def start(self) -> None:
        self.begun = time.monotonic()

    def stop(self, wait: Callable[[], None]) -> None:
        if self.deadline is not None:  # only then is it worth waiting for the device
            wait()
            self.step_seconds = time.monotonic() - self.begun


def run(
    moves: Problem[Candidate],
    start: Candidate,
    *,
    steps: int,
    step: float,
    final_step: float = 0.1,
    score_every: int = 0,
    callback: Callable[[Step], None] | None = None,
    deadline: float | None = None,
    step_seconds: float = 0.0,
    cancel: threading.Event | None = None,
) -> Result[Candidate]:
    """Take steps from `start`, and keep the best candidate.

    Args:
        moves: what a step and a score are.
        start: where to begin; it lies in the ball.
        steps: how many.
        step: root mean square change of the pixels in the first step, in units of the [0, 1] range.
        final_step: the last step as a share of the first; a cosine lies between.
        score_every: where candidates have a score of their own, score every so many steps (0: the start and the end).
        callback: called after each step.
        deadline: `time.monotonic()` seconds after which no result may be late.
        step_seconds: how long the first step is expected to take; later ones are measured.
        cancel: checked before each step.

    Raises:
        Cancelled: when `cancel` is set.
        RecipeError: for fewer than 0 steps, or a step that is not above 0.
    """
    if steps < 0 or step <= 0:
        raise RecipeError(f"an algorithm needs steps >= 0 and a step above 0, got {steps} and {step}")
    timer = _Timer(deadline, step_seconds)
    candidate = best = start
    score, taken = moves.score(start), 0
    while taken < steps and timer.allows_a_step():
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"cancelled after {taken} of {steps} steps")
        timer.start()
        # A schedule that the deadline would cut is shortened instead, so that the last step is a short one.
        length = step * _cosine(taken / max(1, timer.fits(taken, steps) - 1), final_step)
        following, loss = moves.step(candidate, taken, length)
        if not moves.scores_separately:
            best, score = moves.keep_better(best, score, candidate, loss)
        candidate = following
        taken += 1
        if moves.scores_separately and score_every and taken % score_every == 0 and taken < steps:
            best, score = moves.keep_better(best, score, candidate, moves.score(candidate))
        timer.stop(moves.synchronize)
        if callback is not None:
            callback(Step(taken, steps, loss))
    if taken:
        best, score = moves.keep_better(best, score, candidate, moves.score(candidate))
    return Result(best, score, taken, "steps" if taken == steps else "deadline")


def _cosine(progress: float, last: float) -> float:
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
