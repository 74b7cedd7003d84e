"""The perceptual mask: whole budget on texture, little on flat areas, no halo along edges."""

from __future__ import annotations

import pytest
import torch

from anti_i2v.optim.perceptual_mask import initial_candidate, texture_mask


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("floor", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(40, 64), (41, 63), (8, 8)], ids=["even", "odd", "smallest"])
def test_weights_lie_between_the_floor_and_one(floor: float, size: tuple[int, int]) -> None:
    weight = texture_mask(rand(2, 3, *size), floor)
    assert weight.shape == (2, 1, *size)
    assert weight.amin() >= floor - 1e-6
    assert weight.amax() <= 1 + 1e-6


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_areas_get_the_floor(level: float) -> None:
    weight = texture_mask(torch.full((1, 3, 32, 32), level), 0.25)
    torch.testing.assert_close(weight, torch.full_like(weight, 0.25), rtol=0, atol=0.02)


def test_texture_gets_the_whole_budget() -> None:
    assert texture_mask(rand(1, 3, 32, 32), 0.25).amin() == 1


def test_a_floor_of_one_turns_the_mask_off() -> None:
    assert torch.equal(texture_mask(rand(1, 3, 32, 32), 1.0), torch.ones(1, 1, 32, 32))


def test_an_edge_between_flat_areas_gets_no_halo() -> None:
    clean = torch.zeros(1, 3, 48, 48)
    clean[..., 24:] = 1
    weight = texture_mask(clean, 0.2)
    # Windows near an edge include a part of it.
    assert weight[..., :16].amax() < 0.25
    assert weight[..., 32:].amax() < 0.25


def test_colour_without_luma_contrast_counts_as_flat() -> None:
    red, green = torch.tensor([0.587, 0, 0]), torch.tensor([0, 0.299, 0])
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    clean = torch.where(checks.bool(), red.view(3, 1, 1), green.view(3, 1, 1))[None]
    assert texture_mask(clean, 0.2).amax() < 0.25


# The initial candidate.


def start(floor: float | torch.Tensor = 0.25, budget: float | torch.Tensor = 8 / 255) -> tuple[torch.Tensor, ...]:
    clean, pattern = half_flat(), 2 * rand(2, 3, 48, 48) - 1
    return (clean, pattern, *initial_candidate(clean, pattern, budget, floor))


def half_flat() -> torch.Tensor:
    clean = rand(2, 3, 48, 48)
    clean[..., 24:] = 0.5
    return clean


def test_the_initial_candidate_is_the_pattern_scaled_by_the_masked_budget() -> None:
    clean, pattern, candidate, radius = start()
    torch.testing.assert_close(radius, 8 / 255 * texture_mask(clean, 0.25))
    torch.testing.assert_close(candidate, (clean + radius * pattern).clamp(0, 1))
    assert ((candidate - clean).abs() <= radius + 1e-6).all()
    assert candidate.amin() >= 0
    assert candidate.amax() <= 1
    flat, texture = radius[..., 40:], radius[..., :8]
    assert float(flat.amax()) == pytest.approx(0.25 * 8 / 255, rel=0.01)
    assert float(texture.amin()) == pytest.approx(8 / 255)


def test_a_zero_pattern_starts_at_the_photo() -> None:
    candidate, _ = initial_candidate(half_flat(), torch.zeros(2, 3, 48, 48), 8 / 255, 0.25)
    assert torch.equal(candidate, half_flat())


def test_a_floor_of_zero_keeps_flat_areas_clean() -> None:
    clean, _, candidate, radius = start(floor=0.0)
    # A share of a hundredth of a level may be left by rounding.
    assert radius[..., 40:].amax() < 0.04 / 255
    torch.testing.assert_close(candidate[..., 40:], clean[..., 40:], rtol=0, atol=0.04 / 255)


def test_the_ends_of_the_range_are_kept() -> None:
    clean = torch.cat([torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)])
    for sign in (-1.0, 1.0):
        candidate, _ = initial_candidate(clean, torch.full_like(clean, sign), 64 / 255, 1.0)
        assert candidate.amin() >= 0
        assert candidate.amax() <= 1


def test_settings_may_be_tensors_as_a_graph_has_them() -> None:
    plain, traced = start(), start(torch.tensor(0.25), torch.tensor(8 / 255))
    for ours, theirs in zip(plain, traced, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)
