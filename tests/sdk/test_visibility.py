"""The visual weighting: whole budget on texture, little on flat areas, no halo along edges."""

from __future__ import annotations

import pytest
import torch

from anti_i2v.errors import RecipeError
from anti_i2v.visibility import texture_weight


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("floor", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(40, 64), (41, 63), (8, 8)], ids=["even", "odd", "smallest"])
def test_weights_lie_between_the_floor_and_one(floor: float, size: tuple[int, int]) -> None:
    weight = texture_weight(rand(2, 3, *size), floor)
    assert weight.shape == (2, 1, *size)
    assert weight.amin() >= floor - 1e-6
    assert weight.amax() <= 1 + 1e-6


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_areas_get_the_floor(level: float) -> None:
    weight = texture_weight(torch.full((1, 3, 32, 32), level), 0.25)
    torch.testing.assert_close(weight, torch.full_like(weight, 0.25), rtol=0, atol=0.02)


def test_texture_gets_the_whole_budget() -> None:
    assert texture_weight(rand(1, 3, 32, 32), 0.25).amin() == 1


def test_a_floor_of_one_turns_the_weighting_off() -> None:
    assert torch.equal(texture_weight(rand(1, 3, 32, 32), 1.0), torch.ones(1, 1, 32, 32))


def test_an_edge_between_flat_areas_gets_no_halo() -> None:
    clean = torch.zeros(1, 3, 48, 48)
    clean[..., 24:] = 1
    weight = texture_weight(clean, 0.2)
    # Only the rim of the window straddles an edge wherever it is moved; a tenth of the width may notice.
    assert weight[..., :16].amax() < 0.25
    assert weight[..., 32:].amax() < 0.25


def test_colour_without_luma_contrast_counts_as_flat() -> None:
    red, green = torch.tensor([0.587, 0, 0]), torch.tensor([0, 0.299, 0])
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    clean = torch.where(checks.bool(), red.view(3, 1, 1), green.view(3, 1, 1))[None]
    assert texture_weight(clean, 0.2).amax() < 0.25


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
def test_a_floor_out_of_range_is_refused(floor: float) -> None:
    with pytest.raises(RecipeError, match="floor"):
        texture_weight(rand(1, 3, 16, 16), floor)
