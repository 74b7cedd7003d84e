"""The algorithms: pure functions that minimise a `loss_fn` over a photo, within a budget.

    outcome = sign_gradient(loss_fn, clean, budget=budget, spaces=[Lab(), LowDct()], steps=50, step=1 / 255)

`loss_fn` takes pixels (B, 3, H, W) and gives one loss a photo (B,); photos of a batch do not influence each other.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from anti_i2v._types import Budget, PerImage, Pixels
from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.spaces import Rgb, Space, move, project, pull_back

__all__ = ["ALGORITHMS", "Outcome", "Step", "adam", "momentum", "sign_gradient"]

LossFn = Callable[[Pixels], PerImage]


@dataclass(frozen=True)
class Step:
    """What a callback is told after each step. `loss` stays on the device: reading it synchronises."""

    index: int
    steps: int
    loss: PerImage


@dataclass(frozen=True)
class Outcome:
    """What an algorithm found.

    Attributes:
        candidate: the best pixels, by `score`.
        score: their score, a photo each; never above that of the start.
        steps: how many steps were taken.
        stopped: "steps" when all were taken, "deadline" when time was up first.
    """

    candidate: Pixels
    score: PerImage
    steps: int
    stopped: Literal["steps", "deadline"]


Rule = Callable[[torch.Tensor, dict[str, torch.Tensor], int], torch.Tensor]
"""(coordinate gradient, state of this space, how often it moved before) -> direction to move against."""


@dataclass
class Timer:
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

    def stop(self, device: torch.device) -> None:
        if self.deadline is not None:  # only then is it worth waiting for the device
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            self.step_seconds = time.monotonic() - self.begun


def _descend(
    rule: Rule,
    loss_fn: LossFn,
    clean: Pixels,
    *,
    budget: Budget | float,
    steps: int,
    step: float,
    spaces: Sequence[Space] = (Rgb(),),
    final_step: float = 0.1,
    start: Pixels | None = None,
    score_fn: LossFn | None = None,
    score_every: int = 0,
    callback: Callable[[Step], None] | None = None,
    deadline: float | None = None,
    step_seconds: float = 0.0,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Descend on `loss_fn` from `start`, and keep the best candidate.

    Args:
        loss_fn: what is minimised; may be random (EOT), then give `score_fn`.
        clean: the photo; the ball's centre.
        budget: L-infinity radius in units of the [0, 1] range, one for all pixels or one a pixel.
        steps: how many; space `steps[i]` is `spaces[i % len(spaces)]`.
        step: root mean square change of the pixels in the first step, in units of the [0, 1] range.
        final_step: the last step as a share of the first; a cosine lies between.
        start: where to begin (default: the clean photo); it is projected first.
        score_fn: a deterministic loss that compares candidates (default: `loss_fn`).
        score_every: with a `score_fn`, score every so many steps (0: only the start and the end).
        callback: called after each step.
        deadline: `time.monotonic()` seconds after which no result may be late.
        step_seconds: how long the first step is expected to take; later ones are measured.
        cancel: checked before each step.

    Raises:
        Cancelled: when `cancel` is set.
        RecipeError: for fewer than 0 steps, no space, a step that is not above 0, or pixels in half precision.
    """
    if steps < 0 or step <= 0 or not spaces:
        raise RecipeError(
            f"an algorithm needs steps >= 0, a step above 0 and a space, got {steps}, {step}, {len(spaces)}"
        )
    if clean.dtype not in (torch.float32, torch.float64):
        raise RecipeError(f"pixels must be float32 or float64, got {clean.dtype}: only surrogates may be in half")
    radius = torch.as_tensor(budget, dtype=clean.dtype, device=clean.device)
    radius = radius if radius.ndim else radius.view(1, 1, 1, 1)
    candidate = project(clean if start is None else start, clean, radius).detach()
    states: list[dict[str, torch.Tensor]] = [{} for _ in spaces]
    timer = Timer(deadline, step_seconds)
    best, score, taken = candidate, _score(score_fn or loss_fn, candidate), 0

    while taken < steps and timer.allows_a_step():
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"cancelled after {taken} of {steps} steps")
        timer.start()
        turn = taken % len(spaces)
        loss, gradient = _value_and_gradient(loss_fn, candidate)
        if score_fn is None:
            best, score = _keep_better(best, score, candidate, loss)
        pulled = pull_back(spaces[turn], candidate, gradient)
        direction = rule(pulled, states[turn], taken // len(spaces))
        # A schedule that the deadline would cut is shortened instead, so that the last step is a short one.
        length = step * _cosine(taken / max(1, timer.fits(taken, steps) - 1), final_step)
        with torch.no_grad():
            candidate = project(move(spaces[turn], candidate, direction, length), clean, radius)
        taken += 1
        if score_fn is not None and score_every and taken % score_every == 0 and taken < steps:
            best, score = _keep_better(best, score, candidate, _score(score_fn, candidate))
        timer.stop(candidate.device)
        if callback is not None:
            callback(Step(taken, steps, loss))

    if taken:
        best, score = _keep_better(best, score, candidate, _score(score_fn or loss_fn, candidate))
    return Outcome(best, score, taken, "steps" if taken == steps else "deadline")


def _value_and_gradient(loss_fn: LossFn, candidate: Pixels) -> tuple[PerImage, Pixels]:
    with torch.enable_grad():
        leaf = candidate.detach().requires_grad_(True)
        loss = loss_fn(leaf)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient


def _score(score_fn: LossFn, candidate: Pixels) -> PerImage:
    with torch.no_grad():
        return score_fn(candidate)


def _keep_better(best: Pixels, score: PerImage, candidate: Pixels, loss: PerImage) -> tuple[Pixels, PerImage]:
    """A photo each; a loss that is not a number never wins."""
    better = (loss < score) | (score.isnan() & ~loss.isnan())
    return torch.where(better.view(-1, 1, 1, 1), candidate, best), torch.where(better, loss, score)


def _cosine(progress: float, last: float) -> float:
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _sign(gradient: torch.Tensor, state: dict[str, torch.Tensor], moved: int) -> torch.Tensor:
    return gradient.sign()


def _momentum(gradient: torch.Tensor, state: dict[str, torch.Tensor], moved: int) -> torch.Tensor:
    scale = gradient.abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, *[1] * (gradient.ndim - 1))
    state["velocity"] = state.get("velocity", torch.zeros_like(gradient)) + gradient / scale
    return state["velocity"].sign()


def _adam(gradient: torch.Tensor, state: dict[str, torch.Tensor], moved: int) -> torch.Tensor:
    scale = gradient.square().flatten(1).mean(1).sqrt().clamp_min(1e-12).view(-1, *[1] * (gradient.ndim - 1))
    unit, zero = gradient / scale, torch.zeros_like(gradient)
    first = state["first"] = 0.8 * state.get("first", zero) + 0.2 * unit
    second = state["second"] = 0.95 * state.get("second", zero) + 0.05 * unit.square()
    return (first / (1 - 0.8 ** (moved + 1))) / ((second / (1 - 0.95 ** (moved + 1))).sqrt() + 1e-3)


sign_gradient = partial(_descend, _sign)
"""Projected sign-gradient descent (PGD, Madry et al. 2018)."""

momentum = partial(_descend, _momentum)
"""Sign of an accumulated gradient, decay 1 (MI-FGSM, Dong et al. 2018): transfers better."""

adam = partial(_descend, _adam)
"""Adam's direction (Kingma and Ba 2015) with short memories, 0.8 and 0.95, for tens of steps."""

ALGORITHMS = {"sign-gradient": sign_gradient, "momentum": momentum, "adam": adam}
