"""Run a recipe on one photo: choose the surrogates, the space and the EOT transform of each step; keep the deadline.

It works with either engine: the engine's `PhotoOptimiser` computes the steps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from anti_i2v.arrays import PixelArray
from anti_i2v.errors import Cancelled
from anti_i2v.images.platforms import Preset
from anti_i2v.optim.pgd import Result, Step, run
from anti_i2v.optim.schedule import surrogate_schedule
from anti_i2v.optim.transforms import SampledTransform, weighted_choice, with_platform_codec
from anti_i2v.recipes import Recipe

__all__ = ["PhotoOptimiser", "optimise_photo"]

Candidate = TypeVar("Candidate")

FORWARDS_PER_STEP = 3
"""A step with its gradient costs about as much as three forward passes."""


class PhotoOptimiser(Protocol[Candidate]):
    """Computes steps and scores of one photo, on the recipe's surrogates. Candidates stay on the engine's device.

    Attributes:
        surrogates: their names.
        shape: shape of the pixels, (B, 3, H, W).
        start: the first candidate, within the budget.
    """

    surrogates: Sequence[str]
    shape: tuple[int, int, int, int]
    start: Candidate

    def precompute(self, surrogate: int, check: Callable[[], None]) -> None:
        """Run expensive one-time preparation for a photo, such as generating a reference video.

        Comes before `bind`. Calls `check` now and then; an exception that it raises ends the work.
        """

    def bind(self, surrogate: int) -> None:
        """Compute the constants of one surrogate's loss. Called once for each before the first step."""

    def step(
        self,
        candidate: Candidate,
        surrogates: Sequence[int],
        transform: SampledTransform,
        space: int,
        index: int,
        step_size: float,
    ) -> tuple[Candidate, Any]:
        """Take one step; random inputs of surrogates (a denoiser's timestep and noise) are sampled anew.

        Args:
            surrogates: indices of the surrogates whose mean loss is used.
            transform: the EOT transform of this step.
            space: index of the space, in the recipe's `spaces`.
            index: number of earlier steps in this space.
            step_size: root mean square change of the pixels.

        Returns:
            The next candidate, and the loss of the one given, one per photo.
        """

    def score(self, candidate: Candidate) -> Any:
        """Return the mean of all surrogates' losses, one per photo, always with the same random inputs."""

    def keep_better(self, best: Candidate, score: Any, candidate: Candidate, loss: Any) -> tuple[Candidate, Any]:
        """See `pgd.Problem`."""

    def synchronize(self) -> None:
        """See `pgd.Problem`."""

    def to_numpy(self, candidate: Candidate) -> PixelArray:
        """Copy a candidate to numpy, (B, 3, H, W)."""


class _DeadlineReached(Exception):  # not an error: it only ends the preparation
    """The deadline passed before the first step."""


class _ScheduledProblem(Generic[Candidate]):
    """A recipe as a `pgd.Problem`: chooses the surrogates, the space and the transform of each step."""

    def __init__(self, optimiser: PhotoOptimiser[Candidate], recipe: Recipe, preset: Preset | None, seed: int) -> None:
        self.optimiser, self.recipe = optimiser, recipe
        self.generator = np.random.default_rng(seed)
        self.schedule = surrogate_schedule(optimiser.surrogates, recipe)
        self.transform = with_platform_codec(weighted_choice(recipe.eot), preset)

    def score(self, candidate: Candidate) -> Any:
        return self.optimiser.score(candidate)

    def keep_better(self, best: Candidate, score: Any, candidate: Candidate, loss: Any) -> tuple[Candidate, Any]:
        if self.recipe.keep == "last":
            return candidate, loss
        return self.optimiser.keep_better(best, score, candidate, loss)

    def synchronize(self) -> None:
        self.optimiser.synchronize()

    def step(self, candidate: Candidate, index: int, step_size: float) -> tuple[Candidate, Any]:
        surrogates, spaces = self.schedule[index % len(self.schedule)], len(self.recipe.spaces)
        transform = self.transform(self.optimiser.shape, self.generator, lambda: self.optimiser.to_numpy(candidate))
        return self.optimiser.step(candidate, surrogates, transform, index % spaces, index // spaces, step_size)


def optimise_photo(
    optimiser: PhotoOptimiser[Candidate],
    recipe: Recipe,
    *,
    seed: int = 0,
    preset: Preset | None = None,
    callback: Callable[[Step], None] | None = None,
    deadline: float | None = None,
    cancel: threading.Event | None = None,
) -> Result[Candidate]:
    """Take the recipe's steps, and return the best candidate.

    Args:
        optimiser: from `Engine.create_optimiser`, with at least one surrogate.
        seed: seed of the EOT transforms.
        preset: the platform whose JPEG is among the transforms.
        deadline: `time.monotonic()` seconds by which the best candidate so far is returned.

    Raises:
        Cancelled: `cancel` is set.
    """

    def check() -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"cancelled after 0 of {recipe.steps} steps")
        if deadline is not None and time.monotonic() > deadline:
            raise _DeadlineReached

    try:
        bind_seconds = _prepare(optimiser, check, deadline)
        # Scoring the start and the end takes a forward pass on every surrogate: both must fit before the deadline.
        score_seconds = 1.2 * max(bind_seconds, default=0.0) * len(bind_seconds)
        if deadline is not None and time.monotonic() + 2 * score_seconds > deadline:
            raise _DeadlineReached
    except _DeadlineReached:
        return Result(optimiser.start, None, 0, "deadline")
    schedule = surrogate_schedule(optimiser.surrogates, recipe)
    longest = max((sum(bind_seconds[index] for index in indices) for indices in schedule), default=0.0)
    return run(
        _ScheduledProblem(optimiser, recipe, preset, seed),
        optimiser.start,
        steps=recipe.steps,
        step_size=recipe.step / 255,
        final_step=recipe.final_step,
        score_every=recipe.score_every,
        callback=callback,
        deadline=None if deadline is None else deadline - score_seconds,
        step_seconds=FORWARDS_PER_STEP * longest,
        cancel=cancel,
    )


def _prepare(optimiser: PhotoOptimiser[Candidate], check: Callable[[], None], deadline: float | None) -> list[float]:
    """Precompute and bind every surrogate; return the seconds that each binding took, about a forward pass."""
    for index in range(len(optimiser.surrogates)):
        optimiser.precompute(index, check)
    optimiser.synchronize()
    seconds: list[float] = []
    for index in range(len(optimiser.surrogates)):
        if deadline is not None and time.monotonic() + max(seconds, default=0.0) > deadline:
            raise _DeadlineReached
        begun = time.monotonic()
        optimiser.bind(index)
        optimiser.synchronize()
        seconds.append(time.monotonic() - begun)
    return seconds
