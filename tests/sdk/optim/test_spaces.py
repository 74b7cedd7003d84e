"""The spaces of a step: their gradients, their oracles, and the size of a step."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from skimage.color import rgb2lab

from anti_i2v.errors import RecipeError
from anti_i2v.images.jpeg import RGB_TO_YCBCR
from anti_i2v.optim.dct import dct_matrix, luma_quantisation_steps
from anti_i2v.optim.space_constants import SPACE_KINDS, space_constants
from anti_i2v.optim.spaces import Lab, LowDct, LumaDct, Rgb, Space, coordinate_gradient, make_space, step_in_space
from anti_i2v.recipes import Recipe

SIZE = (16, 24)


def low_dct(dtype: torch.dtype, size: tuple[int, int] = SIZE, cutoff: float = 0.25, block: int | None = None) -> LowDct:
    """As it is run, in float32; for float64 with matrices that were not rounded to float32."""
    space = LowDct.for_size(*size, cutoff, block)
    if dtype == torch.float32:
        return space
    rows, columns = (
        torch.from_numpy(np.kron(np.eye(side // (block or side)), dct_matrix(block or side))) for side in size
    )
    return LowDct(rows, columns, space.low)


def luma_dct(dtype: torch.dtype, quality: int = 85, cutoff: float = 1.0) -> LumaDct:
    """Likewise; quantisation steps are whole numbers divided by 255."""
    blocks = low_dct(dtype, cutoff=cutoff, block=8)
    return LumaDct(
        blocks.rows, blocks.columns, blocks.low, torch.from_numpy(luma_quantisation_steps(*SIZE, quality)).to(dtype)
    )


Make = Callable[[torch.dtype], Space]
SPACES: dict[str, Make] = {
    "rgb": lambda dtype: Rgb(),
    "chroma": lambda dtype: Lab.from_shares(),
    "lab": lambda dtype: Lab.from_shares((0.5, 1, 1)),
    "global dct": low_dct,
    "block dct": lambda dtype: low_dct(dtype, cutoff=0.5, block=8),
    "luma dct": luma_dct,
}
every_space = pytest.mark.parametrize("make", SPACES.values(), ids=SPACES)
every_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def pixels(
    dtype: torch.dtype = torch.float64, *, batch: int = 2, size: tuple[int, int] = SIZE, seed: int = 0
) -> torch.Tensor:
    """Away from the corners of the gamut, so that a step stays inside."""
    values = torch.rand(batch, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (0.25 + 0.5 * values).to(dtype)


def directions(space: Space, clean: torch.Tensor, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(space.to_coordinates(clean).shape, dtype=torch.float64, generator=generator).to(clean)


@every_space
@every_precision
def test_pixels_come_back_from_coordinates(make: Make, dtype: torch.dtype) -> None:
    space, clean = make(dtype), pixels(dtype)
    assert space.to_coordinates(clean).shape == clean.shape
    torch.testing.assert_close(space.to_pixels(space.to_coordinates(clean)), clean, rtol=0, atol=TOLERANCE[dtype])


@every_space
def test_the_coordinate_gradient_agrees_with_finite_differences(make: Make) -> None:
    space, clean = make(torch.float64), pixels()
    weights = torch.randn(clean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def loss(candidate: torch.Tensor) -> torch.Tensor:
        return (weights * candidate**3).sum()

    converted = coordinate_gradient(space, clean, 3 * weights * clean**2)
    start = space.to_coordinates(clean)
    for seed in range(3):
        along = directions(space, clean, seed)
        numeric = (loss(space.to_pixels(start + 1e-5 * along)) - loss(space.to_pixels(start - 1e-5 * along))) / 2e-5
        assert numeric.item() == pytest.approx((converted * along).sum().item(), rel=1e-6)


@pytest.mark.parametrize("level", [0.0, 1.0], ids=["black", "white"])
def test_lab_has_finite_gradients_and_steps_at_the_ends_of_the_range(level: float) -> None:
    clean = torch.full((1, 3, 16, 16), level)
    converted = coordinate_gradient(
        Lab.from_shares(), clean, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    )
    assert converted.isfinite().all()
    assert step_in_space(Lab.from_shares(), clean, converted.sign(), 1 / 255).isfinite().all()


@every_precision
@pytest.mark.parametrize("size", [(16, 24), (17, 31)], ids=["even", "odd"])
def test_the_global_dct_is_scipys(dtype: torch.dtype, size: tuple[int, int]) -> None:
    clean = pixels(dtype, size=size)
    expected = torch.from_numpy(dctn(clean.double().numpy(), axes=(-2, -1), norm="ortho")).to(dtype)
    found = low_dct(dtype, size).to_coordinates(clean)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_each_block_of_the_block_dct_is_scipys() -> None:
    clean = pixels(size=(16, 24))
    coordinates = low_dct(torch.float64, block=8).to_coordinates(clean)
    for row in range(2):
        for column in range(3):
            window = (..., slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
            expected = torch.from_numpy(dctn(clean[window].numpy(), axes=(-2, -1), norm="ortho"))
            torch.testing.assert_close(coordinates[window], expected)


def test_the_luma_dct_is_jpegs_blocks_in_units_of_its_quantisation_steps() -> None:
    clean = pixels()
    coordinates = luma_dct(torch.float64, quality=60).to_coordinates(clean)
    mixed = np.einsum("ij,bjhw->bihw", RGB_TO_YCBCR, clean.numpy())
    with Image.open(io.BytesIO(jpeg_bytes(60))) as image:
        steps = np.array(getattr(image, "quantization")[0], float).reshape(8, 8) / 255  # noqa: B009  # only JPEG images have it
    for row in range(2):
        for column in range(3):
            window = (..., slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
            expected = dctn(mixed[:, 0][window], axes=(-2, -1), norm="ortho") / steps
            np.testing.assert_allclose(coordinates[:, 0][window], expected, rtol=1e-6, atol=1e-9)  # float32 steps
    np.testing.assert_allclose(coordinates[:, 1:], mixed[:, 1:], atol=1e-12)


def jpeg_bytes(quality: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize("cutoff", [0.25, 1.0])
def test_a_luma_step_keeps_chroma_and_the_frequencies_above_the_cutoff(cutoff: float) -> None:
    space, clean = luma_dct(torch.float64, cutoff=cutoff), pixels()
    delta = step_in_space(space, clean, directions(space, clean), 2 / 255) - clean
    torch.testing.assert_close(delta, delta[:, :1].expand_as(delta), rtol=0, atol=1e-12)  # as gray is: no chroma
    tiled = delta[:, 0].unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).transpose(-2, -3).numpy()
    moved = np.abs(dctn(tiled, axes=(-2, -1), norm="ortho"))
    kept = max(1, round(8 * cutoff))
    assert moved[..., :kept, :kept].min(axis=(0, 1, 2)).min() > 1e-9
    moved[..., :kept, :kept] = 0
    assert moved.max() < 1e-12


def test_a_sign_step_in_luma_is_as_long_in_each_coefficient_as_its_quantisation_step() -> None:
    space, clean = luma_dct(torch.float64, quality=75), pixels()
    delta = step_in_space(space, clean, directions(space, clean).sign(), 2 / 255) - clean
    moved = (space.to_coordinates(clean + delta)[:, 0] - space.to_coordinates(clean)[:, 0]).abs()
    for photo in moved:
        torch.testing.assert_close(photo, photo[0, 0].expand_as(photo), rtol=1e-6, atol=0)


# The matrices of kornia and scikit-image differ in their fifth digit; on L* in 0..100 that is about a thousandth.
@every_precision
def test_lab_is_scikit_images(dtype: torch.dtype) -> None:
    clean = torch.rand(1, 3, 32, 32, dtype=dtype, generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(rgb2lab(clean[0].double().numpy(), channel_axis=0)).to(dtype)
    torch.testing.assert_close(Lab.from_shares().to_coordinates(clean)[0], expected, rtol=0, atol=2e-2)


@pytest.mark.parametrize("cutoff", [0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("block", [None, 8], ids=["global", "block"])
def test_a_dct_step_moves_low_frequencies_only(cutoff: float, block: int | None) -> None:
    space, clean = low_dct(torch.float64, cutoff=cutoff, block=block), pixels()
    delta = step_in_space(space, clean, directions(space, clean), 2 / 255) - clean
    height, width = (block, block) if block else clean.shape[-2:]
    rows, columns = max(1, round(height * cutoff)), max(1, round(width * cutoff))
    tiled = delta.unflatten(-1, (-1, width)).unflatten(-3, (-1, height)).transpose(-2, -3).numpy()
    moved = np.abs(dctn(tiled, axes=(-2, -1), norm="ortho"))
    assert moved[..., :rows, :columns].min(axis=(0, 1)).max() > 1e-3
    moved[..., :rows, :columns] = 0
    assert moved.max() < 1e-12


@pytest.mark.parametrize("block", [None, 8], ids=["global", "block"])
def test_the_dct_that_runs_is_rounded_to_float32(block: int | None) -> None:
    run, exact = LowDct.for_size(*SIZE, block=block), low_dct(torch.float64, block=block)
    assert torch.equal(run.rows, exact.rows.float())
    assert torch.equal(run.columns, exact.columns.float())


def test_a_chroma_step_keeps_lightness() -> None:
    space, clean = Lab.from_shares((0, 1, 1)), pixels()
    stepped = space.to_coordinates(
        step_in_space(space, clean, directions(space, clean), 2 / 255)
    ) - space.to_coordinates(clean)
    assert stepped[:, 0].abs().amax() < 1e-9
    assert stepped[:, 1:].abs().amin(dim=(0, 2, 3)).gt(0).all()


def test_an_rgb_sign_step_is_the_classic_pgd_step() -> None:
    clean, gradient = pixels(torch.float32), torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    stepped = step_in_space(Rgb(), clean, gradient.sign(), 2 / 255)
    torch.testing.assert_close(stepped, clean - 2 / 255 * gradient.sign(), rtol=0, atol=1e-6)


@every_space
@every_precision
@pytest.mark.parametrize("levels", [0.5, 4.0])
def test_the_root_mean_square_change_is_the_step_size(make: Make, dtype: torch.dtype, levels: float) -> None:
    space, clean = make(dtype), pixels(dtype)
    moved = step_in_space(space, clean, directions(space, clean), levels / 255)
    lengths = (moved - clean).square().flatten(1).mean(1).sqrt() * 255 / levels
    # L*a*b* bends, so that a length measured by a short probe is right to first order.
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=0.03 if isinstance(space, Lab) else 1e-5, atol=0)


@every_space
def test_a_zero_direction_moves_nothing(make: Make) -> None:
    space, clean = make(torch.float32), pixels(torch.float32)
    moved = step_in_space(space, clean, torch.zeros_like(space.to_coordinates(clean)), 8 / 255)
    torch.testing.assert_close(moved, clean, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lab.from_shares((1, 1)), "three numbers"),
        (lambda: Lab.from_shares((0, 0, 0)), "not all zero"),
        (lambda: Lab.from_shares((0, -1, 1)), ">= 0"),
        (lambda: LowDct.for_size(16, 24, 0), "above 0"),
        (lambda: LowDct.for_size(16, 24, 1.1), "at most 1"),
        (lambda: LowDct.for_size(16, 24, block=1), "at least 2"),
        (lambda: LowDct.for_size(17, 24, block=8), "multiples of 8, got 24x17"),
        (lambda: LumaDct.for_size(17, 24), "multiples of 8, got 24x17"),
    ],
    ids=[
        "two shares",
        "zero shares",
        "negative share",
        "cutoff 0",
        "cutoff above 1",
        "block 1",
        "odd sides",
        "odd luma",
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make()


RECIPE = Recipe(name="own", summary="Of this test.", lab_shares=(0.25, 1.0, 0.5), dct_cutoff=0.5, luma_quality=60)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rgb", Rgb()),
        ("lab", Lab.from_shares((0.25, 1.0, 0.5))),
        ("dct", LowDct.for_size(16, 24, 0.5)),
        ("dct8", LowDct.for_size(16, 24, 0.5, block=8)),
        ("luma-dct8", LumaDct.for_size(16, 24, 60, 0.5)),
    ],
)
def test_a_recipes_space_is_made_from_its_constants(name: str, expected: Space) -> None:
    inputs = {key: torch.from_numpy(value) for key, value in space_constants(name, RECIPE, 16, 24).items()}
    space, clean = make_space(name, inputs), pixels(torch.float32)
    assert type(space) is type(expected)
    assert torch.equal(space.to_coordinates(clean), expected.to_coordinates(clean))
    direction = directions(space, clean)
    assert torch.equal(space.scale_direction(direction), expected.scale_direction(direction))


def test_every_space_of_a_recipe_has_a_kind() -> None:
    names = get_args(get_args(get_type_hints(Recipe)["spaces"])[0])
    assert sorted(SPACE_KINDS) == sorted(names) != []
    assert all(
        value.dtype == np.float32 for name in SPACE_KINDS for value in space_constants(name, RECIPE, 16, 24).values()
    )
