"""The whole loop on losses whose behaviour is known: where it ends, what it keeps, and when it stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from anti_i2v.errors import Cancelled
from anti_i2v.optim.pgd import Result, Step
from anti_i2v.optim.projection import project
from anti_i2v.optim.update_rules import UPDATE_RULES

BUDGET = 8 / 255
BALL = torch.full((1, 1, 1, 1), BUDGET)
Minimise = Callable[..., Result[torch.Tensor]]

every_algorithm = pytest.mark.parametrize("algorithm", UPDATE_RULES)


def rand(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def clean() -> torch.Tensor:
    return 0.2 + 0.6 * rand(2, 3, 16, 16, seed=0)


def distance_to(target: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Convex; its minimum on the ball is the projected target."""
    return lambda pixels: (pixels - target).square().flatten(1).mean(1)


def bumpy(pixels: torch.Tensor) -> torch.Tensor:
    """Not convex, and steps overshoot in it."""
    return (torch.sin(60 * pixels) + 0.3 * torch.cos(151 * pixels.flip(-1))).flatten(1).mean(1)


@every_algorithm
def test_a_convex_loss_reaches_its_known_optimum_on_the_ball(
    algorithm: str, clean: torch.Tensor, minimise: Minimise
) -> None:
    target = rand(2, 3, 16, 16, seed=1)
    loss_fn = distance_to(target)
    outcome = minimise(loss_fn, clean, algorithm=algorithm, steps=60, step=2, final_step=0.01)
    optimum = project(target, clean, BALL)
    gap, whole = loss_fn(outcome.candidate) - loss_fn(optimum), loss_fn(clean) - loss_fn(optimum)
    assert (gap < 0.01 * whole).all()
    assert (outcome.steps, outcome.stopped) == (60, "steps")


SPACES: dict[str, dict[str, object]] = {
    "rgb": {"spaces": ["rgb"]},
    "the paper's dual space": {"spaces": ["lab", "dct"]},
    "lab": {"spaces": ["lab"], "lab_shares": [0.5, 1, 1]},
    "block dct": {"spaces": ["dct8"]},
}


@every_algorithm
@pytest.mark.parametrize("spaces", SPACES.values(), ids=SPACES)
def test_every_space_descends_within_the_ball_and_the_range(
    algorithm: str, spaces: dict[str, object], clean: torch.Tensor, minimise: Minimise
) -> None:
    outcome = minimise(bumpy, clean, algorithm=algorithm, steps=12, **spaces)
    assert (outcome.score < bumpy(clean)).all()
    assert ((outcome.candidate - clean).abs() <= BUDGET + 1e-6).all()
    assert outcome.candidate.amin() >= 0
    assert outcome.candidate.amax() <= 1
    torch.testing.assert_close(bumpy(outcome.candidate), outcome.score)


def test_black_and_white_stay_in_the_range(minimise: Minimise) -> None:
    clean = torch.cat([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)])
    outcome = minimise(distance_to(1 - 2 * (1 - clean)), clean, steps=3, step=4)
    assert outcome.candidate.amin() >= 0
    assert outcome.candidate.amax() <= 1


@every_algorithm
@pytest.mark.parametrize("levels", [0.5, 8.0], ids=["small steps", "steps that overshoot"])
def test_more_steps_are_never_worse(algorithm: str, levels: float, clean: torch.Tensor, minimise: Minimise) -> None:
    # final_step=1: a constant step size, so that each run is the beginning of the next.
    runs = [
        minimise(bumpy, clean, algorithm=algorithm, steps=steps, step=levels, final_step=1.0)
        for steps in (0, 1, 2, 4, 8, 16)
    ]
    for fewer, more in pairwise(runs):
        assert (more.score <= fewer.score).all()


def test_the_best_candidate_is_kept_when_the_last_is_worse(clean: torch.Tensor, minimise: Minimise) -> None:
    """The start is nearly optimal, and steps of this size overshoot."""
    loss_fn = distance_to(clean + 0.001)
    best, last = (minimise(loss_fn, clean, steps=3, step=6, final_step=1.0, keep=keep) for keep in ("best", "last"))
    assert torch.equal(best.candidate, clean)
    assert torch.equal(best.score, loss_fn(clean))
    assert (last.score > best.score).all()


def test_the_start_is_projected_first(clean: torch.Tensor, minimise: Minimise) -> None:
    outcome = minimise(bumpy, clean, steps=0, start=clean + 0.5)
    assert ((outcome.candidate - clean).abs() <= BUDGET + 1e-6).all()


def test_a_loss_that_is_not_a_number_never_wins(clean: torch.Tensor, minimise: Minimise) -> None:
    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return torch.where(torch.tensor([len(calls) == 5, False]), torch.nan, bumpy(pixels))

    calls: list[int] = []
    outcome = minimise(loss_fn, clean, steps=6)
    assert len(calls) > 5
    assert outcome.candidate.isfinite().all()
    assert (outcome.score <= bumpy(clean)).all()


def test_a_start_whose_loss_is_not_a_number_loses_to_any_other(clean: torch.Tensor, minimise: Minimise) -> None:
    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        return torch.where((pixels == clean).flatten(1).all(1), torch.nan, 0.0) + distance_to(clean + 1)(pixels)

    outcome = minimise(loss_fn, clean, steps=3)
    assert outcome.score.isfinite().all()
    assert torch.equal(outcome.score, loss_fn(outcome.candidate))


def test_photos_of_a_batch_do_not_influence_each_other(clean: torch.Tensor, minimise: Minimise) -> None:
    settings = {"algorithm": "adam", "steps": 5, "spaces": ["lab", "dct"]}
    together = minimise(bumpy, clean, **settings).candidate
    apart = torch.cat([minimise(bumpy, photo[None], **settings).candidate for photo in clean])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_the_radius_is_kept_at_every_pixel(clean: torch.Tensor, minimise: Minimise) -> None:
    radius = BUDGET * rand(2, 1, 16, 16, seed=2)
    radius[:, :, :4] = 0
    outcome = minimise(bumpy, clean, radius=radius, steps=8, step=2, spaces=["lab", "dct"])
    delta = (outcome.candidate - clean).abs()
    assert (delta <= radius + 1e-6).all()
    assert torch.equal(outcome.candidate[:, :, :4], clean[:, :, :4])
    assert delta[:, :, 4:].amax() > 0.5 * BUDGET


def test_odd_sides_are_fine_without_blocks(minimise: Minimise) -> None:
    clean = rand(1, 3, 17, 31, seed=0)
    outcome = minimise(bumpy, clean, steps=4, spaces=["rgb", "lab", "dct"])
    assert outcome.candidate.shape == clean.shape
    assert (outcome.score < bumpy(clean)).all()


def test_the_callback_gets_the_loss_of_every_step(clean: torch.Tensor, minimise: Minimise) -> None:
    reported: list[Step] = []
    minimise(bumpy, clean, steps=4, options={"callback": reported.append})
    assert [(step.index, step.steps) for step in reported] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    torch.testing.assert_close(reported[0].loss, bumpy(clean))


def test_cancelling_stops_before_the_next_step(clean: torch.Tensor, minimise: Minimise) -> None:
    cancel, reported = threading.Event(), []

    def callback(step: Step) -> None:
        reported.append(step.index)
        if step.index == 3:
            cancel.set()

    with pytest.raises(Cancelled, match="cancelled after 3 of 10 steps"):
        minimise(bumpy, clean, steps=10, options={"callback": callback, "cancel": cancel})
    assert reported == [1, 2, 3]


def test_a_random_transform_repeats_by_its_seed(clean: torch.Tensor, minimise: Minimise) -> None:
    first, again, other = (
        minimise(bumpy, clean, eot={"noise": 1.0}, steps=4, seed=seed).candidate for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("every", "scored"), [(0, 2), (1, 7), (2, 4), (4, 3)])
def test_candidates_are_scored_as_often_as_the_recipe_says(
    every: int, scored: int, clean: torch.Tensor, minimise: Minimise
) -> None:
    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        loss = distance_to(clean + 1)(pixels)
        if not torch.is_grad_enabled():
            scores.append(loss)
        return loss

    scores: list[torch.Tensor] = []
    outcome = minimise(loss_fn, clean, steps=6, score_every=every)
    assert len(scores) == scored
    assert torch.equal(outcome.score, torch.stack(scores).amin(0))
    assert np.isfinite(outcome.score.numpy()).all()
