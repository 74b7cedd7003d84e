"""The algorithms: where they end, what they keep, and when they stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.optim import pgd
from anti_i2v.optim.eot import expectation
from anti_i2v.optim.pgd import Result, Step
from anti_i2v.optim.projection import project
from anti_i2v.optim.spaces import Lab, LowDct, Rgb, Space
from anti_i2v.optim.transforms import identity, noise
from anti_i2v.optim.update_rules import (
    ADAM_EPSILON,
    ALGORITHMS,
    UPDATE_RULES,
    adam,
    momentum,
    projected_step,
    select_better,
    sign_gradient,
    value_and_gradient,
)

BUDGET = 8 / 255
every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)


def rand(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def clean() -> torch.Tensor:
    return 0.2 + 0.6 * rand(2, 3, 16, 16, seed=0)


def towards(target: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Convex; its least value on the ball is at the projected target."""
    return lambda pixels: (pixels - target).square().flatten(1).mean(1)


def bumpy(pixels: torch.Tensor) -> torch.Tensor:
    """Not convex, and steps overshoot in it."""
    return (torch.sin(60 * pixels) + 0.3 * torch.cos(151 * pixels.flip(-1))).flatten(1).mean(1)


@every_algorithm
def test_a_convex_loss_reaches_its_known_optimum_on_the_ball(
    algorithm: Callable[..., Result[torch.Tensor]], clean: torch.Tensor
) -> None:
    target = rand(2, 3, 16, 16, seed=1)
    loss_fn = towards(target)
    outcome = algorithm(loss_fn, clean, budget=BUDGET, steps=60, step=2 / 255, final_step=0.01)
    optimum = project(target, clean, torch.full((1, 1, 1, 1), BUDGET))
    gap, whole = loss_fn(outcome.candidate) - loss_fn(optimum), loss_fn(clean) - loss_fn(optimum)
    assert (gap < 0.01 * whole).all()
    assert (outcome.steps, outcome.stopped) == (60, "steps")


@every_algorithm
@pytest.mark.parametrize(
    "spaces",
    [
        [Rgb()],
        [Lab.from_shares(), LowDct.for_size(16, 16)],
        [Lab.from_shares((0.5, 1, 1))],
        [LowDct.for_size(16, 16, block=8)],
    ],
    ids=["rgb", "the paper's dual space", "lab", "block dct"],
)
def test_every_space_descends_within_the_ball_and_the_range(
    algorithm: Callable[..., Result[torch.Tensor]], spaces: list[Space], clean: torch.Tensor
) -> None:
    outcome = algorithm(bumpy, clean, budget=BUDGET, steps=12, step=1 / 255, spaces=spaces)
    assert (outcome.score < bumpy(clean)).all()
    assert ((outcome.candidate - clean).abs() <= BUDGET + 1e-6).all()
    assert outcome.candidate.amin() >= 0
    assert outcome.candidate.amax() <= 1
    torch.testing.assert_close(bumpy(outcome.candidate), outcome.score)


def test_the_photos_ends_of_range_are_kept() -> None:
    clean = torch.cat([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)])
    outcome = sign_gradient(towards(1 - 2 * (1 - clean)), clean, budget=BUDGET, steps=3, step=4 / 255)
    assert outcome.candidate.amin() >= 0
    assert outcome.candidate.amax() <= 1


@every_algorithm
@pytest.mark.parametrize("levels", [0.5, 8.0], ids=["small steps", "steps that overshoot"])
def test_more_steps_are_never_worse(
    algorithm: Callable[..., Result[torch.Tensor]], levels: float, clean: torch.Tensor
) -> None:
    # final_step=1: a constant step, so that each run is the beginning of the next.
    runs = [
        algorithm(bumpy, clean, budget=BUDGET, steps=steps, step=levels / 255, final_step=1.0)
        for steps in (0, 1, 2, 4, 8, 16)
    ]
    for fewer, more in pairwise(runs):
        assert (more.score <= fewer.score).all()


def test_the_best_candidate_is_kept_when_the_last_is_worse(clean: torch.Tensor) -> None:
    start = project(torch.zeros_like(clean), clean, torch.full((1, 1, 1, 1), BUDGET))
    at_start = towards(start)
    outcome = sign_gradient(at_start, clean, budget=BUDGET, steps=3, step=8 / 255, start=start)
    assert torch.equal(outcome.candidate, start)
    assert (outcome.score == 0).all()


def test_the_start_is_projected_first(clean: torch.Tensor) -> None:
    outcome = sign_gradient(bumpy, clean, budget=BUDGET, steps=0, step=1 / 255, start=clean + 0.5)
    assert ((outcome.candidate - clean).abs() <= BUDGET + 1e-6).all()


def test_a_loss_that_is_not_a_number_never_wins(clean: torch.Tensor) -> None:
    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        loss = bumpy(pixels)
        calls.append(1)
        return torch.where(torch.tensor([len(calls) == 4, False]), torch.nan, loss)

    calls: list[int] = []
    outcome = sign_gradient(loss_fn, clean, budget=BUDGET, steps=6, step=1 / 255)
    assert outcome.candidate.isfinite().all()
    assert (outcome.score <= bumpy(clean)).all()


def test_a_start_whose_loss_is_not_a_number_loses_to_any_that_has_one(clean: torch.Tensor) -> None:
    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        return torch.where((pixels == clean).flatten(1).all(1), torch.nan, 0.0) + towards(clean + 1)(pixels)

    outcome = sign_gradient(loss_fn, clean, budget=BUDGET, steps=3, step=1 / 255)
    assert outcome.score.isfinite().all()
    assert torch.equal(outcome.score, loss_fn(outcome.candidate))


def test_photos_of_a_batch_do_not_influence_each_other(clean: torch.Tensor) -> None:
    settings = {"budget": BUDGET, "steps": 5, "step": 1 / 255, "spaces": [Lab.from_shares(), LowDct.for_size(16, 16)]}
    together = adam(bumpy, clean, **settings).candidate
    apart = torch.cat([adam(bumpy, photo[None], **settings).candidate for photo in clean])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_the_budget_map_is_honoured_at_every_pixel(clean: torch.Tensor) -> None:
    budget = BUDGET * rand(2, 1, 16, 16, seed=2)
    budget[:, :, :4] = 0
    spaces = [Lab.from_shares(), LowDct.for_size(16, 16)]
    outcome = sign_gradient(bumpy, clean, budget=budget, steps=8, step=2 / 255, spaces=spaces)
    delta = (outcome.candidate - clean).abs()
    assert (delta <= budget + 1e-6).all()
    assert torch.equal(outcome.candidate[:, :, :4], clean[:, :, :4])
    assert delta[:, :, 4:].amax() > 0.5 * BUDGET


def test_spaces_take_turns(clean: torch.Tensor) -> None:
    class Named(Space):
        def __init__(self, name: str) -> None:
            self.name = name

        def to_coordinates(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels

        def to_pixels(self, coordinates: torch.Tensor) -> torch.Tensor:
            return coordinates

        def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
            moved.append(self.name)
            return direction

    moved: list[str] = []
    sign_gradient(bumpy, clean, budget=BUDGET, steps=5, step=1 / 255, spaces=[Named("lab"), Named("dct")])
    assert moved == ["lab", "dct", "lab", "dct", "lab"]


def test_the_callback_is_told_of_every_step(clean: torch.Tensor) -> None:
    told: list[Step] = []
    sign_gradient(bumpy, clean, budget=BUDGET, steps=4, step=1 / 255, callback=told.append)
    assert [(step.index, step.steps) for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    torch.testing.assert_close(told[0].loss, bumpy(clean))


def test_cancelling_stops_before_the_next_step(clean: torch.Tensor) -> None:
    cancel, told = threading.Event(), []

    def callback(step: Step) -> None:
        told.append(step.index)
        if step.index == 3:
            cancel.set()

    with pytest.raises(Cancelled, match="cancelled after 3 of 10 steps"):
        sign_gradient(bumpy, clean, budget=BUDGET, steps=10, step=1 / 255, callback=callback, cancel=cancel)
    assert told == [1, 2, 3]


class Clock:
    """A time that only gradients take: two seconds each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(pgd, "time", SimpleNamespace(monotonic=lambda: self.now))

    def slow(self, pixels: torch.Tensor) -> torch.Tensor:
        self.now += 2.0 * torch.is_grad_enabled()
        return bumpy(pixels)


@pytest.mark.parametrize(
    ("deadline", "step_seconds", "steps"),
    [(7.0, 0.0, 3), (7.0, 2.0, 3), (6.0, 0.0, 3), (1.9, 2.0, 0), (-1.0, 0.0, 0), (100.0, 2.0, 8)],
    ids=["a fourth would be late", "known cost", "just fits", "the first would be late", "long past", "plenty"],
)
def test_no_step_is_begun_that_would_pass_the_deadline(
    monkeypatch: pytest.MonkeyPatch, clean: torch.Tensor, deadline: float, step_seconds: float, steps: int
) -> None:
    clock = Clock(monkeypatch)
    outcome = sign_gradient(
        clock.slow, clean, budget=BUDGET, steps=8, step=1 / 255, deadline=deadline, step_seconds=step_seconds
    )
    assert outcome.steps == steps
    assert outcome.stopped == ("steps" if steps == 8 else "deadline")
    assert clock.now <= max(deadline, 0)
    assert (outcome.score <= bumpy(clean)).all()
    assert steps == 0 or (outcome.score < bumpy(clean)).all()


@every_algorithm
def test_eot_with_identity_equals_plain(algorithm: Callable[..., Result[torch.Tensor]], clean: torch.Tensor) -> None:
    settings = {"budget": BUDGET, "steps": 5, "step": 1 / 255}
    averaged = expectation(bumpy, [identity()], np.random.default_rng(0))
    assert torch.equal(algorithm(averaged, clean, **settings).candidate, algorithm(bumpy, clean, **settings).candidate)


def test_a_random_loss_repeats_by_its_seed(clean: torch.Tensor) -> None:
    def run(seed: int) -> torch.Tensor:
        loss_fn = expectation(bumpy, [noise()], np.random.default_rng(seed))
        return sign_gradient(loss_fn, clean, budget=BUDGET, steps=4, step=1 / 255, score_fn=bumpy).candidate

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


@pytest.mark.parametrize(("every", "scored"), [(0, 2), (1, 7), (2, 4), (4, 3)])
def test_candidates_are_compared_by_the_score_as_often_as_asked(every: int, scored: int, clean: torch.Tensor) -> None:
    def score_fn(pixels: torch.Tensor) -> torch.Tensor:
        scores.append(bumpy(pixels))
        return scores[-1]

    scores: list[torch.Tensor] = []
    outcome = sign_gradient(
        towards(clean + 1), clean, budget=BUDGET, steps=6, step=1 / 255, score_fn=score_fn, score_every=every
    )
    assert len(scores) == scored
    assert torch.equal(outcome.score, torch.stack(scores).amin(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": -1}, "steps >= 0"),
        ({"step": 0.0}, "a step above 0"),
        ({"spaces": []}, "needs a space"),
    ],
    ids=["negative steps", "no step length", "no space"],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    settings = {"budget": BUDGET, "steps": 2, "step": 1 / 255, **changes}
    with pytest.raises(RecipeError, match=message):
        sign_gradient(bumpy, rand(1, 3, 16, 15, seed=0), **settings)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_pixels_in_half_precision_are_refused(dtype: torch.dtype, clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="pixels must be float32 or float64"):
        sign_gradient(bumpy, clean.to(dtype), budget=BUDGET, steps=2, step=1 / 255)


def test_odd_sides_are_fine_without_blocks() -> None:
    clean = rand(1, 3, 17, 31, seed=0)
    spaces = [Rgb(), Lab.from_shares(), LowDct.for_size(17, 31)]
    outcome = sign_gradient(bumpy, clean, budget=BUDGET, steps=4, step=1 / 255, spaces=spaces)
    assert outcome.candidate.shape == clean.shape
    assert (outcome.score < bumpy(clean)).all()


# The pieces that both engines run.


def test_a_value_and_its_gradient_are_autograds(clean: torch.Tensor) -> None:
    loss, gradient = value_and_gradient(bumpy, clean)
    leaf = clean.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(bumpy(leaf).sum(), leaf)
    assert torch.equal(loss, bumpy(clean))
    assert torch.equal(gradient, expected)
    assert not loss.requires_grad
    assert not clean.requires_grad


def test_the_gradient_is_taken_where_gradients_are_off(clean: torch.Tensor) -> None:
    with torch.no_grad():
        _, gradient = value_and_gradient(bumpy, clean)
    assert torch.equal(gradient, value_and_gradient(bumpy, clean)[1])


@pytest.mark.parametrize("name", UPDATE_RULES)
def test_an_algorithm_is_its_rule_advanced_from_a_memory_of_zeros(name: str, clean: torch.Tensor) -> None:
    rule, space = UPDATE_RULES[name], LowDct.for_size(16, 16, 0.5)
    radius = torch.full((1, 1, 1, 1), BUDGET)
    candidate, memory = clean, tuple(torch.zeros_like(clean) for _ in rule.memory)
    for moved in range(3):
        _, gradient = value_and_gradient(bumpy, candidate)
        candidate, memory = projected_step(rule, space, candidate, clean, radius, gradient, memory, moved, 1 / 255)
        assert len(memory) == len(rule.memory)
    outcome = ALGORITHMS[name](
        bumpy,
        clean,
        budget=BUDGET,
        steps=3,
        step=1 / 255,
        final_step=1.0,
        spaces=[space],
        score_fn=lambda pixels: -(pixels - clean).abs().flatten(1).sum(1),  # the farthest wins: the last
    )
    assert torch.equal(outcome.candidate, candidate)


def test_momentum_is_the_sign_of_the_accumulated_unit_gradients(clean: torch.Tensor) -> None:
    velocity, candidate = torch.zeros_like(clean), clean
    for _ in range(3):
        leaf = candidate.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(bumpy(leaf).sum(), leaf)
        velocity = velocity + gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        candidate = torch.clamp(candidate - velocity.sign() / 255, clean - BUDGET, clean + BUDGET).clamp(0, 1)
    outcome = momentum(
        bumpy,
        clean,
        budget=BUDGET,
        steps=3,
        step=1 / 255,
        final_step=1.0,
        score_fn=lambda pixels: (pixels - candidate).abs().flatten(1).amax(1),
    )
    torch.testing.assert_close(outcome.candidate, candidate, rtol=0, atol=1e-6)


def test_adam_takes_the_direction_of_torchs(clean: torch.Tensor) -> None:
    """On unit gradients, with the rule's short memories and its floor."""
    leaf = torch.zeros_like(clean).requires_grad_(True)
    reference = torch.optim.Adam([leaf], lr=1.0, betas=(0.8, 0.95), eps=ADAM_EPSILON)
    rule, memory = UPDATE_RULES["adam"], (torch.zeros_like(clean), torch.zeros_like(clean))
    for moved in range(4):
        gradient = torch.randn(clean.shape, generator=torch.Generator().manual_seed(moved))
        unit = gradient / gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        before, leaf.grad = leaf.detach().clone(), unit
        reference.step()
        direction, memory = rule.direction(gradient, memory, moved)
        torch.testing.assert_close(direction, before - leaf.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", UPDATE_RULES)
def test_a_rule_does_not_see_the_scale_of_the_loss(name: str, clean: torch.Tensor) -> None:
    rule = UPDATE_RULES[name]
    memory = tuple(torch.zeros_like(clean) for _ in rule.memory)
    gradient = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    first, second = (rule.direction(scale * gradient, memory, 0)[0] for scale in (1.0, 1e-4))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("score", "loss", "wins"),
    [(1.0, 0.5, True), (1.0, 1.0, False), (1.0, 2.0, False), (1.0, "nan", False), ("nan", 1.0, True)],
    ids=["lower", "equal", "higher", "no number", "the best is no number"],
)
def test_the_better_candidate_is_the_lower_one_photo_by_photo(
    score: float | str, loss: float | str, wins: bool, clean: torch.Tensor
) -> None:
    scores, losses = torch.tensor([float(score), 1.0]), torch.tensor([float(loss), 5.0])
    best, kept = select_better(clean, scores, clean + 1, losses)
    assert torch.equal(best[0], clean[0] + int(wins))
    assert torch.equal(best[1], clean[1])
    assert float(kept[0]) == (float(loss) if wins else float(score))
    assert float(kept[1]) == 1.0
