"""How far a latent moved: alike in numpy and torch, and by its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from anti_i2v.metrics.latents import mean_square, relative_shift, squared_shift


def latent(batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_relative_shift_ignores_offset_and_scale() -> None:
    clean, moved = latent(), latent(seed=1)
    expected = relative_shift(moved, clean)
    torch.testing.assert_close(relative_shift(7 * moved + 100, 7 * clean + 100), expected)
    assert relative_shift(clean, clean).tolist() == [0, 0]
    spread = clean.flatten(1).std(1, correction=0)
    torch.testing.assert_close(
        relative_shift(clean + spread.view(-1, 1, 1, 1), clean), torch.ones(2, dtype=torch.float64)
    )


def test_a_shift_is_the_root_mean_square_change_over_the_standard_deviation() -> None:
    clean, moved = latent(), latent(seed=1)
    change = (moved - clean).square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(relative_shift(moved, clean), change / clean.std((1, 2, 3), correction=0))
    torch.testing.assert_close(squared_shift(moved, clean), relative_shift(moved, clean) ** 2)
    torch.testing.assert_close(mean_square(clean), clean.square().mean((1, 2, 3)))


@pytest.mark.parametrize(
    "shape", [(2, 4, 5, 6), (3, 16, 1, 4, 4), (2, 77, 8), (1, 9)], ids=["map", "video", "tokens", "row"]
)
@pytest.mark.parametrize("measure", [relative_shift, squared_shift], ids=["shift", "its square"])
def test_numpy_gives_what_torch_gives(measure: Callable[[Any, Any], Any], shape: tuple[int, ...]) -> None:
    clean, moved = (np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for seed in (0, 1))
    ours = measure(moved, clean)
    theirs = measure(torch.from_numpy(moved), torch.from_numpy(clean))
    assert ours.shape == (shape[0],)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5)
    assert np.array_equal(measure(clean, clean), np.zeros(shape[0]))


def test_a_flat_latent_makes_no_infinite_shift() -> None:
    clean = torch.zeros(1, 4, 5, 6)
    assert relative_shift(clean + 1e-3, clean).isfinite().all()


def test_the_shift_can_be_differentiated() -> None:
    moved = latent(seed=1).requires_grad_(True)
    (gradient,) = torch.autograd.grad(squared_shift(moved, latent()).sum(), moved)
    expected = 2 * (moved.detach() - latent()) / latent()[0].numel()
    torch.testing.assert_close(gradient, expected / latent().var((1, 2, 3), correction=0).view(-1, 1, 1, 1))
