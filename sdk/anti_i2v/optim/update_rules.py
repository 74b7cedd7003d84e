"""Update rules of a step: sign-gradient (PGD, Madry et al. 2018), momentum (MI-FGSM, Dong et al. 2018), and Adam.

The torch engine runs these functions, and the ONNX engine's graphs are traced from them. `loss_fn` takes pixels
(B, 3, H, W) and returns one loss per photo; photos of a batch do not influence each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from anti_i2v.optim.projection import project
from anti_i2v.optim.spaces import Space, coordinate_gradient, step_in_space
from anti_i2v.tensors import Budget, LossFn, PerImage, Pixels

__all__ = ["UPDATE_RULES", "State", "UpdateRule", "projected_step", "select_better", "value_and_gradient"]

State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class UpdateRule:
    """How an algorithm turns gradients into directions.

    Attributes:
        state: names of the tensors kept between steps, each of the coordinates' shape, zero at first.
        direction: (coordinate gradient, state, index of the step in its space) -> (direction to move against, new
            state).
    """

    state: tuple[str, ...]
    direction: Callable[[torch.Tensor, State, Any], tuple[torch.Tensor, State]]


def _sign(gradient: torch.Tensor, state: State, index: Any) -> tuple[torch.Tensor, State]:
    """Projected sign-gradient descent."""
    return gradient.sign(), ()


def _momentum(gradient: torch.Tensor, state: State, index: Any) -> tuple[torch.Tensor, State]:
    """Sign of the accumulated gradient, decay 1 (MI-FGSM): transfers better."""
    scale = gradient.abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, 1, 1, 1)
    velocity = state[0] + gradient / scale
    return velocity.sign(), (velocity,)


ADAM_EPSILON = 0.1
"""In units of the root mean square gradient: weaker gradients make smaller steps. With Adam's usual tiny epsilon,
rounding errors of weak gradients become full steps, and the two engines drift apart; nothing is lost."""


def _adam(gradient: torch.Tensor, state: State, index: Any) -> tuple[torch.Tensor, State]:
    """Adam's direction (Kingma and Ba 2015) with decays of 0.8 and 0.95, short enough for tens of steps."""
    scale = gradient.square().flatten(1).mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
    unit = gradient / scale
    first = 0.8 * state[0] + 0.2 * unit
    second = 0.95 * state[1] + 0.05 * unit.square()
    direction = (first / (1 - 0.8 ** (index + 1))) / ((second / (1 - 0.95 ** (index + 1))).sqrt() + ADAM_EPSILON)
    return direction, (first, second)


UPDATE_RULES = {
    "sign-gradient": UpdateRule((), _sign),
    "momentum": UpdateRule(("velocity",), _momentum),
    "adam": UpdateRule(("first", "second"), _adam),
}


def projected_step(
    rule: UpdateRule,
    space: Space,
    candidate: Pixels,
    clean: Pixels,
    budget: Budget,
    gradient: Pixels,
    state: State,
    index: Any,
    step_size: Any,
) -> tuple[Pixels, State]:
    """Take one step: convert the gradient to the space, apply the rule, move, project.

    Args:
        gradient: gradient of the loss with respect to the candidate.
        state: the rule's, for this space.
        index: number of earlier steps in this space.
        step_size: root mean square change of the pixels.

    Returns:
        The next candidate and the rule's new state.
    """
    direction, state = rule.direction(coordinate_gradient(space, candidate, gradient), state, index)
    return project(step_in_space(space, candidate, direction, step_size), clean, budget), state


def value_and_gradient(loss_fn: LossFn, candidate: Pixels) -> tuple[PerImage, Pixels]:
    """Compute the loss of each photo, and its gradient with respect to the photo's pixels."""
    with torch.enable_grad():
        leaf = candidate.detach().requires_grad_(True)
        loss = loss_fn(leaf)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient


def select_better(best: Pixels, score: PerImage, candidate: Pixels, loss: PerImage) -> tuple[Pixels, PerImage]:
    """Keep the candidate with the lower loss, for each photo; NaN never wins."""
    wins = (loss < score) | (score.isnan() & ~loss.isnan())
    return torch.where(wins.view(-1, 1, 1, 1), candidate, best), torch.where(wins, loss, score)
