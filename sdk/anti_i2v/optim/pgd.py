"""Projected gradient descent (PGD, Madry et al. 2018): the loop that every update rule and both engines share.

It handles the step sizes, the deadline, cancellation and the best candidate. A `Problem` computes steps and scores; in
the engines a step is `update_rules.projected_step`.
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
    """Progress after a step. `loss` may still be on the device: reading it waits for the device."""

    index: int
    steps: int
    loss: Any


@dataclass(frozen=True)
class Result(Generic[Candidate]):
    """The outcome of a run.

    Attributes:
        candidate: the best pixels, by `score`.
        score: their score, one per photo; never above that of the start.
        steps: number of steps taken.
        stopped: "steps" when all were taken, "deadline" when time ran out first.
    """

    candidate: Candidate
    score: Any
    steps: int
    stopped: Literal["steps", "deadline"]


class Problem(Protocol[Candidate]):
    """A photo and its loss, as an engine runs them."""

    def step(self, candidate: Candidate, index: int, step_size: float) -> tuple[Candidate, Any]:
        """Take a step of a root mean square size; return the next candidate, and the loss of the one given."""

    def score(self, candidate: Candidate) -> Any:
        """Return the score that candidates are compared by, one per photo; lower is better."""

    def keep_better(self, best: Candidate, score: Any, candidate: Candidate, loss: Any) -> tuple[Candidate, Any]:
        """Return the better of two candidates and its score, for each photo; NaN never wins."""

    def synchronize(self) -> None:
        """Wait until the device has finished, so that time can be measured."""


@dataclass
class _Timer:
    """Keeps the deadline: a step that would pass it does not begin."""

    deadline: float | None
    step_seconds: float
    begun: float = field(default_factory=time.monotonic)

    def allows_a_step(self) -> bool:
        return self.deadline is None or time.monotonic() + self.step_seconds <= self.deadline

    def expected_steps(self, taken: int, steps: int) -> int:
        """Estimate the total number of steps: all, or as many as the deadline allows at the pace of the last one."""
        if self.deadline is None or self.step_seconds <= 0:
            return steps
        return min(steps, taken + max(1, int((self.deadline - time.monotonic()) / self.step_seconds)))

    def start(self) -> None:
        self.begun = time.monotonic()

    def stop(self, synchronize: Callable[[], None]) -> None:
        if self.deadline is not None:  # without one, do not make the device wait
            synchronize()
            self.step_seconds = time.monotonic() - self.begun


def run(
    problem: Problem[Candidate],
    start: Candidate,
    *,
    steps: int,
    step_size: float,
    final_step: float = 0.1,
    score_every: int = 0,
    callback: Callable[[Step], None] | None = None,
    deadline: float | None = None,
    step_seconds: float = 0.0,
    cancel: threading.Event | None = None,
) -> Result[Candidate]:
    """Take steps from `start`, and keep the best candidate.

    Args:
        start: the first candidate, inside the L-infinity ball.
        steps: number of steps.
        step_size: root mean square change of the pixels in the first step, in units of the [0, 1] range.
        final_step: size of the last step as a share of the first; a cosine decay lies between them.
        score_every: score candidates every so many steps; 0 scores only the start and the end.
        callback: called after each step.
        deadline: `time.monotonic()` seconds by which the run returns.
        step_seconds: expected duration of the first step; later ones are measured.
        cancel: checked before each step.

    Raises:
        Cancelled: `cancel` is set.
        RecipeError: fewer than 0 steps, or a step size that is not above 0.
    """
    if steps < 0 or step_size <= 0:
        raise RecipeError(f"steps must be at least 0 and the step size above 0, got {steps} and {step_size}")
    timer = _Timer(deadline, step_seconds)
    candidate = best = start
    score, taken = problem.score(start), 0
    while taken < steps and timer.allows_a_step():
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"cancelled after {taken} of {steps} steps")
        timer.start()
        # Where the deadline would cut the schedule, it is shortened instead, so that the last step is a small one.
        progress = taken / max(1, timer.expected_steps(taken, steps) - 1)
        candidate, loss = problem.step(candidate, taken, step_size * _cosine_decay(progress, final_step))
        taken += 1
        if score_every and taken % score_every == 0 and taken < steps:
            best, score = problem.keep_better(best, score, candidate, problem.score(candidate))
        timer.stop(problem.synchronize)
        if callback is not None:
            callback(Step(taken, steps, loss))
    if taken:
        best, score = problem.keep_better(best, score, candidate, problem.score(candidate))
    return Result(best, score, taken, "steps" if taken == steps else "deadline")


def _cosine_decay(progress: float, final: float) -> float:
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
