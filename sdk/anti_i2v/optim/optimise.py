"""From a recipe to a refined candidate: surrogates in turn, spaces in turn, EOT, the schedule and the deadline.

It runs on either engine: an engine opens a photo and says what a step on it is.
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

__all__ = ["OpenPhoto", "optimise_photo"]

Candidate = TypeVar("Candidate")

FORWARDS_PER_STEP = 3
"""A step with its gradient costs about three forward passes."""


class OpenPhoto(Protocol[Candidate]):
    """A photo that an engine has opened with a recipe's surrogates; candidates stay where the engine keeps them.

    Attributes:
        surrogates: their names.
        shape: of the pixels, (B, 3, H, W).
        start: the first candidate, within the budget.
    """

    surrogates: Sequence[str]
    shape: tuple[int, int, int, int]
    start: Candidate

    def precompute(self, index: int, watch: Callable[[], None]) -> None:
        """Do what one surrogate needs once a photo and that costs unlike a pass, such as a video that it generates.

        To be called before `bind`. What `watch` raises, called now and then, ends it.
        """

    def bind(self, index: int) -> None:
        """Do one surrogate's constant work. To be called for each before the first step."""

    def step(
        self, candidate: Candidate, on: Sequence[int], change: SampledTransform, space: int, moved: int, length: float
    ) -> tuple[Candidate, Any]:
        """One step on some surrogates, through one draw of EOT, in the recipe's `space`-th space, which moved before.

        Surrogates that draw (a denoiser: timestep, noise) do so anew.
        """

    def score(self, candidate: Candidate) -> Any:
        """The mean of all surrogates' losses, a photo each, always with the same draws."""

    def keep_better(self, best: Candidate, score: Any, candidate: Candidate, loss: Any) -> tuple[Candidate, Any]:
        """See `descent.Moves`."""

    def synchronize(self) -> None:
        """See `descent.Moves`."""

    def to_numpy(self, candidate: Candidate) -> PixelArray:
        """A candidate as numpy, (B, 3, H, W)."""


class _DeadlineReached(Exception):  # no error: how long work before the first step ends
    """Time is up."""


class _ScheduledProblem(Generic[Candidate]):
    """A recipe's turns (see `descent.Moves`): which surrogate, which space, which draw of EOT a step takes."""

    scores_separately = True

    def __init__(self, photo: OpenPhoto[Candidate], recipe: Recipe, preset: Preset | None, seed: int) -> None:
        self.photo, self.recipe = photo, recipe
        self.generator = np.random.default_rng(seed)
        self.turns = surrogate_schedule(photo.surrogates, recipe)
        self.transform = with_platform_codec(weighted_choice(recipe.eot), preset)

    def score(self, candidate: Candidate) -> Any:
        return self.photo.score(candidate)

    def keep_better(self, best: Candidate, score: Any, candidate: Candidate, loss: Any) -> tuple[Candidate, Any]:
        if self.recipe.keep == "last":
            return candidate, loss
        return self.photo.keep_better(best, score, candidate, loss)

    def synchronize(self) -> None:
        self.photo.synchronize()

    def step(self, candidate: Candidate, taken: int, length: float) -> tuple[Candidate, Any]:
        on, spaces = self.turns[taken % len(self.turns)], len(self.recipe.spaces)
        change = self.transform(self.photo.shape, self.generator, lambda: self.photo.to_numpy(candidate))
        return self.photo.step(candidate, on, change, taken % spaces, taken // spaces, length)


def optimise_photo(
    photo: OpenPhoto[Candidate],
    recipe: Recipe,
    *,
    seed: int = 0,
    preset: Preset | None = None,
    callback: Callable[[Step], None] | None = None,
    deadline: float | None = None,
    cancel: threading.Event | None = None,
) -> Result[Candidate]:
    """Take the recipe's steps on an open photo, and give the best candidate found.

    Args:
        photo: opened by an engine, with at least one surrogate.
        seed: of EOT's draws.
        preset: the platform whose codec is met as well.
        deadline: `time.monotonic()` seconds; what is found by then is given back.

    Raises:
        Cancelled: when `cancel` is set.
    """
    passes: list[float] = []

    def watch() -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"cancelled after 0 of {recipe.steps} steps")
        if deadline is not None and time.monotonic() > deadline:
            raise _DeadlineReached

    try:
        for index in range(len(photo.surrogates)):
            photo.precompute(index, watch)
    except _DeadlineReached:
        return Result(photo.start, None, 0, "deadline")
    photo.synchronize()
    for index in range(len(photo.surrogates)):
        if deadline is not None and time.monotonic() + max(passes, default=0.0) > deadline:
            return Result(photo.start, None, 0, "deadline")
        begun = time.monotonic()
        photo.bind(index)
        photo.synchronize()
        passes.append(time.monotonic() - begun)
    longest = max(
        (sum(passes[index] for index in turn) for turn in surrogate_schedule(photo.surrogates, recipe)), default=0.0
    )
    # The first and the last comparison of candidates are a forward pass on every surrogate: they must fit as well.
    comparison = 1.2 * max(passes, default=0.0) * len(passes)
    if deadline is not None and time.monotonic() + 2 * comparison > deadline:
        return Result(photo.start, None, 0, "deadline")
    return run(
        _ScheduledProblem(photo, recipe, preset, seed),
        photo.start,
        steps=recipe.steps,
        step=recipe.step / 255,
        final_step=recipe.final_step,
        score_every=recipe.score_every,
        callback=callback,
        deadline=None if deadline is None else deadline - comparison,
        step_seconds=FORWARDS_PER_STEP * longest,
        cancel=cancel,
    )
