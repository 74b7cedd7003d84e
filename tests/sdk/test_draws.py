"""Surrogates that draw (denoisers: timestep, noise) fit the same interface: a toy one proves it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from anti_i2v.objectives import Displacement, bind
from anti_i2v.optimise import sign_gradient
from anti_i2v.surrogates.base import Surrogate, SurrogateInfo


class Noisy(Surrogate):
    """One convolution of the photo and noise that is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.info = SurrogateInfo(name="noisy", kind="Noisy", source="test", fingerprint="none", licence="Apache-2.0")
        self.multiple = 1
        torch.manual_seed(0)
        self.layer = nn.Conv2d(6, 4, 3, padding=1).requires_grad_(False)

    def draw(self, clean: torch.Tensor, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        return {"noise": torch.randn(clean.shape, generator=generator)}

    def features(
        self, pixels: torch.Tensor, draw: Mapping[str, torch.Tensor] | None = None
    ) -> Mapping[str, torch.Tensor]:
        assert draw is not None, "a denoiser needs its draw"
        return {"latent": torch.tanh(self.layer(torch.cat([pixels, draw["noise"].to(pixels)], 1)))}


def photo() -> torch.Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_candidates_are_compared_with_one_fixed_draw() -> None:
    loss_fn = bind({Displacement(): 1.0}, Noisy(), photo())
    candidate = (photo() + 0.02).clamp(0, 1)
    assert torch.equal(loss_fn(candidate), loss_fn(candidate))
    assert loss_fn(candidate) < loss_fn(photo())


def test_steps_draw_anew_and_judge_clean_and_candidate_by_the_same_draw() -> None:
    fresh = bind({Displacement(): 1.0}, Noisy(), photo()).with_fresh_draws(torch.Generator().manual_seed(2))
    candidate = (photo() + 0.02).clamp(0, 1)
    assert not torch.equal(fresh(candidate), fresh(candidate))
    unmoved = bind({Displacement(): 1.0}, Noisy(), photo())(photo())
    assert torch.equal(fresh(photo()), unmoved)  # the clean photo never moves, whatever is drawn


def test_the_optimiser_runs_on_such_a_surrogate() -> None:
    bound = bind({Displacement(): 1.0}, Noisy(), photo())
    start = (photo() + 0.01 * torch.randn(photo().shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    outcome = sign_gradient(
        bound.with_fresh_draws(torch.Generator().manual_seed(4)),
        photo(),
        budget=8 / 255,
        steps=5,
        step=2 / 255,
        start=start,
        score_fn=bound,
    )
    assert outcome.score < bound(start)
