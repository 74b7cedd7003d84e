"""Update rules: their directions against oracles, a projected step, and the choice between candidates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from anti_i2v.optim.pgd import Result
from anti_i2v.optim.spaces import LowDct
from anti_i2v.optim.update_rules import (
    ADAM_EPSILON,
    UPDATE_RULES,
    projected_step,
    select_better,
    value_and_gradient,
)

BUDGET = 8 / 255


@pytest.fixture
def clean() -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def bumpy(pixels: torch.Tensor) -> torch.Tensor:
    """Not convex, and steps overshoot in it."""
    return (torch.sin(60 * pixels) + 0.3 * torch.cos(151 * pixels.flip(-1))).flatten(1).mean(1)


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
def test_the_loop_takes_projected_steps_of_the_rule_from_a_state_of_zeros(
    name: str, clean: torch.Tensor, minimise: Callable[..., Result[torch.Tensor]]
) -> None:
    rule, space = UPDATE_RULES[name], LowDct.for_size(16, 16, 0.5)
    radius = torch.full((1, 1, 1, 1), BUDGET)
    candidate, state = clean, tuple(torch.zeros_like(clean) for _ in rule.state)
    for index in range(3):
        _, gradient = value_and_gradient(bumpy, candidate)
        candidate, state = projected_step(rule, space, candidate, clean, radius, gradient, state, index, 1 / 255)
        assert len(state) == len(rule.state)
    outcome = minimise(
        bumpy, clean, algorithm=name, steps=3, final_step=1.0, spaces=["dct"], dct_cutoff=0.5, keep="last"
    )
    assert torch.equal(outcome.candidate, candidate)


def test_momentum_is_the_sign_of_the_accumulated_unit_gradients(
    clean: torch.Tensor, minimise: Callable[..., Result[torch.Tensor]]
) -> None:
    velocity, candidate = torch.zeros_like(clean), clean
    for _ in range(3):
        leaf = candidate.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(bumpy(leaf).sum(), leaf)
        velocity = velocity + gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
        candidate = torch.clamp(candidate - velocity.sign() / 255, clean - BUDGET, clean + BUDGET).clamp(0, 1)
    outcome = minimise(bumpy, clean, algorithm="momentum", steps=3, final_step=1.0, keep="last")
    torch.testing.assert_close(outcome.candidate, candidate, rtol=0, atol=1e-6)


def test_adam_takes_the_direction_of_torchs(clean: torch.Tensor) -> None:
    """On unit gradients, with the rule's short decays and its epsilon."""
    leaf = torch.zeros_like(clean).requires_grad_(True)
    reference = torch.optim.Adam([leaf], lr=1.0, betas=(0.8, 0.95), eps=ADAM_EPSILON)
    rule, state = UPDATE_RULES["adam"], (torch.zeros_like(clean), torch.zeros_like(clean))
    for index in range(4):
        gradient = torch.randn(clean.shape, generator=torch.Generator().manual_seed(index))
        unit = gradient / gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        before, leaf.grad = leaf.detach().clone(), unit
        reference.step()
        direction, state = rule.direction(gradient, state, index)
        torch.testing.assert_close(direction, before - leaf.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", UPDATE_RULES)
def test_a_rule_does_not_depend_on_the_scale_of_the_loss(name: str, clean: torch.Tensor) -> None:
    rule = UPDATE_RULES[name]
    state = tuple(torch.zeros_like(clean) for _ in rule.state)
    gradient = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    first, second = (rule.direction(scale * gradient, state, 0)[0] for scale in (1.0, 1e-4))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("score", "loss", "wins"),
    [(1.0, 0.5, True), (1.0, 1.0, False), (1.0, 2.0, False), (1.0, "nan", False), ("nan", 1.0, True)],
    ids=["lower", "equal", "higher", "not a number", "the best is not a number"],
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
