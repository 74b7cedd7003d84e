"""Projection onto the L-infinity ball and the range [0, 1]."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anti_i2v.optim.projection import project


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 64), far=st.floats(0.001, 2), a_map=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_projection_is_the_nearest_point_of_the_ball_and_of_the_range(
    seed: int, levels: int, far: float, a_map: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(2, 3, 6, 5, generator=generator)
    budget = torch.full((1, 1, 6, 5), levels / 255)
    if a_map:
        budget = budget * torch.rand(budget.shape, generator=generator)
    candidate = clean + far * torch.randn(clean.shape, generator=generator)
    projected = project(candidate, clean, budget)

    assert ((projected - clean).abs() <= budget + 1e-6).all()
    assert projected.amin() >= 0
    assert projected.amax() <= 1
    assert torch.equal(project(projected, clean, budget), projected)
    inside = (clean + budget * (2 * torch.rand(clean.shape, generator=generator) - 1)).clamp(0, 1)
    assert ((projected - candidate).abs() <= (inside - candidate).abs() + 1e-6).all()
    torch.testing.assert_close(project(inside, clean, budget), inside, rtol=0, atol=1e-6)
