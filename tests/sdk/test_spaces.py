"""Charts of a photo: their gradients, their oracles, how far a step goes, and the projection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn
from skimage.color import rgb2lab

from anti_i2v.errors import RecipeError
from anti_i2v.spaces import Lab, LowDct, Rgb, Space, dct_matrix, move, project, pull_back

SPACES = {
    "rgb": Rgb,
    "chroma": Lab,
    "lab": lambda: Lab((0.5, 1, 1)),
    "global dct": LowDct,
    "block dct": lambda: LowDct(0.5, block=8),
}
every_space = pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
every_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def pixels(
    dtype: torch.dtype = torch.float64, *, batch: int = 2, size: tuple[int, int] = (16, 24), seed: int = 0
) -> torch.Tensor:
    """Away from the corners of the gamut, so that a step stays inside."""
    draw = torch.rand(batch, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (0.25 + 0.5 * draw).to(dtype)


def directions(space: Space, clean: torch.Tensor, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(space.enter(clean).shape, dtype=torch.float64, generator=generator).to(clean)


@every_space
@every_precision
def test_leaving_undoes_entering(make: Callable[[], Space], dtype: torch.dtype) -> None:
    clean = pixels(dtype)
    torch.testing.assert_close(make().leave(make().enter(clean)), clean, rtol=0, atol=TOLERANCE[dtype])


@every_space
def test_the_pulled_gradient_agrees_with_finite_differences(make: Callable[[], Space]) -> None:
    space, clean = make(), pixels()
    weights = torch.randn(clean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def loss(candidate: torch.Tensor) -> torch.Tensor:
        return (weights * candidate**3).sum()

    pulled = pull_back(space, clean, 3 * weights * clean**2)
    start = space.enter(clean)
    for seed in range(3):
        along = directions(space, clean, seed)
        numeric = (loss(space.leave(start + 1e-5 * along)) - loss(space.leave(start - 1e-5 * along))) / 2e-5
        assert numeric.item() == pytest.approx((pulled * along).sum().item(), rel=1e-6)


@pytest.mark.parametrize("level", [0.0, 1.0], ids=["black", "white"])
def test_lab_has_finite_gradients_and_steps_at_the_ends_of_the_range(level: float) -> None:
    clean = torch.full((1, 3, 16, 16), level)
    pulled = pull_back(Lab(), clean, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)))
    assert pulled.isfinite().all()
    assert move(Lab(), clean, pulled.sign(), 1 / 255).isfinite().all()


@every_precision
@pytest.mark.parametrize("size", [1, 2, 7, 8, 64, 75])
def test_the_dct_matrix_is_orthonormal_and_scipys(size: int, dtype: torch.dtype) -> None:
    matrix = dct_matrix(size).to(dtype)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(size, dtype=dtype), rtol=0, atol=TOLERANCE[dtype])
    torch.testing.assert_close(dct_matrix(size), torch.from_numpy(dctn(np.eye(size), axes=[0], norm="ortho")))


@every_precision
@pytest.mark.parametrize("size", [(16, 24), (17, 31)], ids=["even", "odd"])
def test_the_global_dct_is_scipys(dtype: torch.dtype, size: tuple[int, int]) -> None:
    clean = pixels(dtype, size=size)
    expected = torch.from_numpy(dctn(clean.double().numpy(), axes=(-2, -1), norm="ortho")).to(dtype)
    torch.testing.assert_close(LowDct().enter(clean), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_each_block_of_the_block_dct_is_scipys() -> None:
    clean = pixels(size=(16, 24))
    coordinates = LowDct(block=8).enter(clean)
    assert coordinates.shape == (2, 3, 2, 3, 8, 8)
    for row in range(2):
        for column in range(3):
            block = clean[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].numpy()
            expected = torch.from_numpy(dctn(block, axes=(-2, -1), norm="ortho"))
            torch.testing.assert_close(coordinates[:, :, row, column], expected)


# The matrices of kornia and scikit-image differ in their fifth digit; on L* in 0..100 that is about a thousandth.
@every_precision
def test_lab_is_scikit_images(dtype: torch.dtype) -> None:
    clean = torch.rand(1, 3, 32, 32, dtype=dtype, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(rgb2lab(clean[0].double().numpy(), channel_axis=0)).to(dtype)
    torch.testing.assert_close(Lab().enter(clean)[0], expected, rtol=0, atol=2e-2)


@pytest.mark.parametrize("cutoff", [0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("block", [None, 8], ids=["global", "block"])
def test_a_dct_step_moves_low_frequencies_only(cutoff: float, block: int | None) -> None:
    space, clean = LowDct(cutoff, block), pixels()
    delta = move(space, clean, directions(space, clean), 2 / 255) - clean
    height, width = (block, block) if block else clean.shape[-2:]
    rows, columns = max(1, round(height * cutoff)), max(1, round(width * cutoff))
    moved = LowDct(block=block).enter(delta).abs()
    assert moved[..., :rows, :columns].amax() > 1e-3
    moved[..., :rows, :columns] = 0
    assert moved.amax() < 1e-12


def test_a_chroma_step_keeps_lightness() -> None:
    space, clean = Lab((0, 1, 1)), pixels()
    stepped = space.enter(move(space, clean, directions(space, clean), 2 / 255)) - space.enter(clean)
    assert stepped[:, 0].abs().amax() < 1e-9
    assert stepped[:, 1:].abs().amin(dim=(0, 2, 3)).gt(0).all()


def test_an_rgb_sign_step_is_the_classic_pgd_step() -> None:
    clean, gradient = pixels(torch.float32), torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    stepped = move(Rgb(), clean, gradient.sign(), 2 / 255)
    torch.testing.assert_close(stepped, clean - 2 / 255 * gradient.sign(), rtol=0, atol=1e-6)


@every_space
@every_precision
@pytest.mark.parametrize("levels", [0.5, 4.0])
def test_the_root_mean_square_of_a_move_is_its_step(
    make: Callable[[], Space], dtype: torch.dtype, levels: float
) -> None:
    space, clean = make(), pixels(dtype)
    moved = move(space, clean, directions(space, clean), levels / 255)
    lengths = (moved - clean).square().flatten(1).mean(1).sqrt() * 255 / levels
    # L*a*b* bends, so that a length measured by a short probe is right to first order.
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0.03 if isinstance(space, Lab) else 1e-5, atol=0)


@every_space
def test_a_zero_direction_moves_nothing(make: Callable[[], Space]) -> None:
    space, clean = make(), pixels(torch.float32)
    moved = move(space, clean, torch.zeros_like(space.enter(clean)), 8 / 255)
    torch.testing.assert_close(moved, clean, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lab((1, 1)), "three numbers"),
        (lambda: Lab((0, 0, 0)), "not all zero"),
        (lambda: Lab((0, -1, 1)), ">= 0"),
        (lambda: LowDct(0), "above 0"),
        (lambda: LowDct(1.1), "at most 1"),
        (lambda: LowDct(block=1), "at least 2"),
        (lambda: LowDct(block=8).enter(pixels(size=(17, 24))), "multiples of 8, got 24x17"),
    ],
    ids=["two shares", "zero shares", "negative share", "cutoff 0", "cutoff above 1", "block 1", "odd sides"],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make()


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
