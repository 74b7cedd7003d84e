"""The degradations of a receipt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.sdk.images.samples import noise, through_pillow

from anti_i2v.arrays import Rgb8
from anti_i2v.images.degradations import SURVIVAL_CHECKS


def test_the_checks_are_those_of_the_receipt_in_its_order() -> None:
    assert list(SURVIVAL_CHECKS) == ["as is", "jpeg75", "half size", "blur"]


@pytest.mark.parametrize("size", [(240, 320), (33, 47), (1, 1), (2, 301)], ids=str)
@pytest.mark.parametrize("name", SURVIVAL_CHECKS)
def test_every_check_keeps_size_type_and_input(name: str, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    before = pixels.copy()
    checked = SURVIVAL_CHECKS[name](pixels)
    assert checked.shape == pixels.shape
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)


def test_as_is_changes_nothing(photo: Rgb8) -> None:
    np.testing.assert_array_equal(SURVIVAL_CHECKS["as is"](photo), photo)


def test_jpeg75_is_the_codec_of_pillow(photo: Rgb8) -> None:
    np.testing.assert_array_equal(SURVIVAL_CHECKS["jpeg75"](photo), through_pillow(photo, 75, 2))


def test_half_size_keeps_flat_colour_and_loses_single_pixels() -> None:
    flat = np.full((64, 64, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(SURVIVAL_CHECKS["half size"](flat), flat)
    checkers = np.indices((64, 64)).sum(0)[..., None].repeat(3, -1) % 2 * 255
    assert SURVIVAL_CHECKS["half size"](checkers.astype(np.uint8))[8:-8, 8:-8].std() < 10


def test_blur_is_a_gaussian_of_one_pixel(photo: Rgb8) -> None:
    exact = gaussian_filter(photo.astype(float), (1, 1, 0), mode="nearest", truncate=4)
    assert np.abs(SURVIVAL_CHECKS["blur"](photo) - exact).max() <= 0.51
