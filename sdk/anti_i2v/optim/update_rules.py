"""The algorithms: pure functions that minimise a `loss_fn` over a photo, within a budget.

    outcome = sign_gradient(loss_fn, clean, budget=budget, spaces=[Lab.of()], steps=50, step=1 / 255)

`loss_fn` takes pixels (B, 3, H, W) and gives one loss a photo (B,); photos of a batch do not influence each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.optim.pgd import Result, Step, run
from anti_i2v.optim.projection import project
from anti_i2v.optim.spaces import Rgb, Space, coordinate_gradient, step_in_space
from anti_i2v.tensors import Budget, PerImage, Pixels

__all__ = [
    "ALGORITHMS",
    "UPDATE_RULES",
    "Result",
    "Step",
    "UpdateRule",
    "adam",
    "momentum",
    "projected_step",
    "select_better",
    "sign_gradient",
    "value_and_gradient",
]

LossFn = Callable[[Pixels], PerImage]
State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class UpdateRule:
    """How an algorithm turns gradients into directions.

    Attributes:
        memory: names of what it remembers between steps, each of the coordinates' shape, zero at first.
        direction: (coordinate gradient, memory, how often this space moved before) -> direction to move against, and
            the new memory.
    """

    memory: tuple[str, ...]
    direction: Callable[[torch.Tensor, State, Any], tuple[torch.Tensor, State]]


def _sign(gradient: torch.Tensor, memory: State, moved: Any) -> tuple[torch.Tensor, State]:
    return gradient.sign(), ()


def _momentum(gradient: torch.Tensor, memory: State, moved: Any) -> tuple[torch.Tensor, State]:
    scale = gradient.abs().flatten(1).mean(1).clamp_min(1e-12).view(-1, 1, 1, 1)
    velocity = memory[0] + gradient / scale
    return velocity.sign(), (velocity,)


ADAM_EPSILON = 0.1
"""Of the root mean square gradient: below it directions shrink instead of keeping their size. Adam's usual tiny floor
makes steps of full size from rounding errors of weak gradients, by which two engines drift apart; nothing is lost."""


def _adam(gradient: torch.Tensor, memory: State, moved: Any) -> tuple[torch.Tensor, State]:
    scale = gradient.square().flatten(1).mean(1).sqrt().clamp_min(1e-12).view(-1, 1, 1, 1)
    unit = gradient / scale
    first = 0.8 * memory[0] + 0.2 * unit
    second = 0.95 * memory[1] + 0.05 * unit.square()
    direction = (first / (1 - 0.8 ** (moved + 1))) / ((second / (1 - 0.95 ** (moved + 1))).sqrt() + ADAM_EPSILON)
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
    memory: State,
    moved: Any,
    length: Any,
) -> tuple[Pixels, State]:
    """One step: the gradient in the space's coordinates, the rule's direction, the move, the projection.

    Args:
        gradient: of the loss with respect to the candidate.
        memory: the rule's, for this space.
        moved: how often this space moved before.
        length: root mean square change of the pixels.
    """
    direction, memory = rule.direction(coordinate_gradient(space, candidate, gradient), memory, moved)
    return project(step_in_space(space, candidate, direction, length), clean, budget), memory


def value_and_gradient(loss_fn: LossFn, candidate: Pixels) -> tuple[PerImage, Pixels]:
    """The loss of each photo, and its gradient with respect to the photo's pixels."""
    with torch.enable_grad():
        leaf = candidate.detach().requires_grad_(True)
        loss = loss_fn(leaf)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), gradient


def select_better(best: Pixels, score: PerImage, candidate: Pixels, loss: PerImage) -> tuple[Pixels, PerImage]:
    """The better candidate, a photo each; a loss that is not a number never wins."""
    wins = (loss < score) | (score.isnan() & ~loss.isnan())
    return torch.where(wins.view(-1, 1, 1, 1), candidate, best), torch.where(wins, loss, score)


class _Moves:
    """Steps on a `loss_fn`, in spaces that take turns."""

    def __init__(
        self,
        rule: UpdateRule,
        loss_fn: LossFn,
        score_fn: LossFn | None,
        clean: Pixels,
        radius: Budget,
        spaces: Sequence[Space],
    ) -> None:
        self.rule, self.loss_fn, self.clean, self.radius, self.spaces = rule, loss_fn, clean, radius, spaces
        self.scores_separately = score_fn is not None
        self.score_fn = score_fn or loss_fn
        self.memories: list[State] = [tuple(torch.zeros_like(clean) for _ in rule.memory) for _ in spaces]

    def step(self, candidate: torch.Tensor, taken: int, length: float) -> tuple[torch.Tensor, torch.Tensor]:
        turn, moved = taken % len(self.spaces), taken // len(self.spaces)
        loss, gradient = value_and_gradient(self.loss_fn, candidate)
        with torch.no_grad():
            following, self.memories[turn] = projected_step(
                self.rule,
                self.spaces[turn],
                candidate,
                self.clean,
                self.radius,
                gradient,
                self.memories[turn],
                moved,
                length,
            )
        return following, loss

    def score(self, candidate: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.score_fn(candidate)

    def keep_better(
        self, best: torch.Tensor, score: torch.Tensor, candidate: torch.Tensor, loss: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return select_better(best, score, candidate, loss)

    def synchronize(self) -> None:
        if self.clean.device.type == "cuda":
            torch.cuda.synchronize(self.clean.device)


def _minimise(
    rule: UpdateRule,
    loss_fn: LossFn,
    clean: Pixels,
    *,
    budget: Budget | float,
    steps: int,
    step: float,
    spaces: Sequence[Space] = (Rgb(),),
    start: Pixels | None = None,
    score_fn: LossFn | None = None,
    **options: Any,
) -> Result[Pixels]:
    """Descend on `loss_fn` from `start`, and keep the best candidate.

    Args:
        loss_fn: what is minimised; may be random (EOT), then give `score_fn`.
        clean: the photo; the ball's centre.
        budget: L-infinity radius in units of the [0, 1] range, one for all pixels or one a pixel.
        steps, step: how many, and the first one's length: see `descend`, which takes the options as well.
        spaces: space `steps[i]` is `spaces[i % len(spaces)]`.
        start: where to begin (default: the clean photo); it is projected first.
        score_fn: a deterministic loss that compares candidates (default: `loss_fn`).

    Raises:
        Cancelled: when the option `cancel` is set.
        RecipeError: for fewer than 0 steps, no space, a step that is not above 0, or pixels in half precision.
    """
    if not spaces:
        raise RecipeError("an algorithm needs a space")
    if clean.dtype not in (torch.float32, torch.float64):
        raise RecipeError(f"pixels must be float32 or float64, got {clean.dtype}: only surrogates may be in half")
    radius = torch.as_tensor(budget, dtype=clean.dtype, device=clean.device)
    radius = radius if radius.ndim else radius.view(1, 1, 1, 1)
    begin = project(clean if start is None else start, clean, radius).detach()
    return run(_Moves(rule, loss_fn, score_fn, clean, radius, spaces), begin, steps=steps, step=step, **options)


sign_gradient = partial(_minimise, UPDATE_RULES["sign-gradient"])
"""Projected sign-gradient descent (PGD, Madry et al. 2018)."""

momentum = partial(_minimise, UPDATE_RULES["momentum"])
"""Sign of an accumulated gradient, decay 1 (MI-FGSM, Dong et al. 2018): transfers better."""

adam = partial(_minimise, UPDATE_RULES["adam"])
"""Adam's direction (Kingma and Ba 2015) with short memories, 0.8 and 0.95, for tens of steps."""

ALGORITHMS = {"sign-gradient": sign_gradient, "momentum": momentum, "adam": adam}
