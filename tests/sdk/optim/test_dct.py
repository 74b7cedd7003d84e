"""What a space needs to know of a photo's size: scipy's DCT, and which frequencies are low."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn

from anti_i2v.errors import RecipeError
from anti_i2v.optim.dct import BLOCK, dct_matrix, low_frequency_dct, luma_quantisation_steps
from anti_i2v.optim.space_constants import space_constants
from anti_i2v.recipes import Recipe

every_precision = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


@every_precision
@pytest.mark.parametrize("size", [1, 2, 7, 8, 64, 75])
def test_the_dct_matrix_is_orthonormal_and_scipys(size: int, dtype: type[np.floating]) -> None:
    matrix = dct_matrix(size).astype(dtype)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), rtol=0, atol=TOLERANCE[dtype])
    expected = dctn(np.eye(size), axes=[0], norm="ortho")
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("block", [None, 8, 2], ids=["global", "blocks of 8", "blocks of 2"])
def test_the_matrices_of_a_photo_transform_each_block(block: int | None) -> None:
    photo = np.random.default_rng(0).random((16, 24))
    found = low_frequency_dct(16, 24, 0.25, block)
    coordinates = found["rows"] @ photo @ found["columns"].T
    height, width = (block, block) if block else photo.shape
    for top in range(0, 16, height):
        for left in range(0, 24, width):
            window = (slice(top, top + height), slice(left, left + width))
            np.testing.assert_allclose(coordinates[window], dctn(photo[window], norm="ortho"), atol=1e-5)


@pytest.mark.parametrize("cutoff", [0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("block", [None, 8], ids=["global", "block"])
def test_the_lowest_frequencies_of_each_axis_may_move_and_always_one(cutoff: float, block: int | None) -> None:
    low = low_frequency_dct(16, 24, cutoff, block)["low"]
    assert low.shape == (1, 1, 16, 24)
    height, width = (block, block) if block else (16, 24)
    for row, column in np.ndindex(16, 24):
        lowest = row % height < max(1, round(height * cutoff)) and column % width < max(1, round(width * cutoff))
        assert low[0, 0, row, column] == lowest


RECIPE = Recipe(name="own", summary="Of this test.", lab_shares=(0.25, 1.0, 0.5), dct_cutoff=0.5)


def test_each_space_gets_the_recipes_settings() -> None:
    assert space_constants("rgb", RECIPE, 17, 31) == {}
    assert space_constants("lab", RECIPE, 17, 31)["shares"].tolist() == [0.25, 1.0, 0.5]
    luma = space_constants("luma-dct8", RECIPE, 16, 24)
    assert np.array_equal(luma.pop("steps"), luma_quantisation_steps(16, 24, 85))
    assert all(np.array_equal(luma[key], value) for key, value in low_frequency_dct(16, 24, 0.5, BLOCK).items())
    for name, block, size in (("dct", None, (17, 31)), ("dct8", BLOCK, (16, 24))):
        found, expected = space_constants(name, RECIPE, *size), low_frequency_dct(*size, 0.5, block)
        assert sorted(found) == ["columns", "low", "rows"]
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_luma_steps_are_libjpegs_and_of_every_block() -> None:
    steps = luma_quantisation_steps(16, 24, 50) * 255
    assert steps.shape == (1, 1, 16, 24)
    np.testing.assert_allclose(steps[0, 0, 0, :8], [16, 11, 10, 16, 24, 40, 51, 61], rtol=1e-6)  # T.81, table K.1
    np.testing.assert_allclose(steps[0, 0, 8:, 16:], steps[0, 0, :8, :8])
    assert (luma_quantisation_steps(16, 24, 95) * 255 < steps).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": 0.0}, "cutoff must be above 0 and at most 1, got 0"),
        ({"cutoff": 1.1}, "cutoff must be above 0 and at most 1, got 1.1"),
        ({"cutoff": float("nan")}, "cutoff must be above 0 and at most 1, got nan"),
        ({"cutoff": 0.5, "block": 1}, "block must be at least 2 pixels, got 1"),
        ({"cutoff": 0.5, "block": 8}, "8x8 block DCT needs sides that are multiples of 8, got 24x17"),
    ],
    ids=["cutoff 0", "cutoff above 1", "cutoff no number", "block 1", "odd sides"],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        low_frequency_dct(17, 24, **settings)  # type: ignore[arg-type]  # rows of a table
