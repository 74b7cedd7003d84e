"""Controls have exactly the requested levels in uint8, also in black or white photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.evaluation.conftest import noised, smooth

from anti_i2v.arrays import Rgb8
from anti_i2v.metrics.imperceptibility import delta_e, psnr
from anti_i2v.metrics.random_controls import paste_perturbation, random_levels, random_psnr, rescale_to_visibility


def extremes() -> Rgb8:
    """Black, white and everything between."""
    return np.tile(np.linspace(0, 255, 40).round().astype(np.uint8)[None, :, None], (24, 1, 3))


@pytest.mark.parametrize("clean", [smooth(24, 40), extremes()], ids=["grey", "black to white"])
def test_a_random_control_has_the_values_of_the_perturbation(clean: Rgb8) -> None:
    protected = noised(clean, 8)
    control = random_psnr(clean, protected, 0)
    sizes = [np.sort(np.abs(photo.astype(int) - clean), axis=None) for photo in (protected, control)]
    np.testing.assert_array_equal(*sizes)
    assert psnr(clean, control) == psnr(clean, protected)
    assert not np.array_equal(control, protected)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 64))
@settings(max_examples=30, deadline=None)
def test_the_control_of_any_photo_has_the_perturbations_own_values_in_other_places(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    clean = generator.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    protected = (clean + generator.integers(-levels, levels + 1, clean.shape)).clip(0, 255).astype(np.uint8)
    control = random_psnr(clean, protected, seed)
    ours, theirs = (np.sort(np.abs(photo.astype(int) - clean), axis=None) for photo in (protected, control))
    np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(control, protected)
    np.testing.assert_array_equal(control, random_psnr(clean, protected, seed))
    assert not np.array_equal(control, random_psnr(clean, protected, seed + 1))


@pytest.mark.parametrize("clean", [smooth(24, 40), extremes()], ids=["grey", "black to white"])
@pytest.mark.parametrize("levels", [0, 1, 8, 16])
def test_random_levels_change_every_value_by_that_many_levels(clean: Rgb8, levels: int) -> None:
    assert (np.abs(random_levels(clean, levels, 0).astype(int) - clean) == levels).all()


def test_signs_are_drawn_evenly() -> None:
    delta = random_levels(smooth(64, 64), 8, 0).astype(int) - smooth(64, 64)
    assert abs(np.sign(delta).mean()) < 0.05


def test_levels_above_127_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.\.127"):
        random_levels(smooth(8, 8), 128, 0)


@pytest.mark.parametrize("decibels", [28.0, 34.0, 40.0])
def test_a_perturbation_is_scaled_to_a_psnr(decibels: float) -> None:
    clean = smooth(48, 64)
    assert psnr(clean, rescale_to_visibility(clean, noised(clean, 8), "psnr", decibels)) == pytest.approx(
        decibels, abs=0.05
    )


@pytest.mark.parametrize("units", [0.5, 1.7, 4.0])
def test_a_perturbation_is_scaled_to_a_colour_difference(units: float) -> None:
    clean = smooth(48, 64)
    assert delta_e(clean, rescale_to_visibility(clean, noised(clean, 8), "de2000", units))[0] == pytest.approx(
        units, rel=0.02
    )


def test_scaling_to_its_own_psnr_changes_at_most_a_level() -> None:
    clean = smooth(48, 64)
    protected = noised(clean, 8)
    same = rescale_to_visibility(clean, protected, "psnr", psnr(clean, protected))
    assert np.abs(same.astype(int) - protected).max() <= 1


def test_equal_photos_have_nothing_to_scale() -> None:
    with pytest.raises(ValueError, match="protect the photo first"):
        rescale_to_visibility(smooth(8, 8), smooth(8, 8), "psnr", 30)


def test_a_value_that_no_scale_reaches_is_refused() -> None:
    clean = smooth(16, 16)
    protected = clean.copy()
    protected[0, 0, 0] += 1
    with pytest.raises(ValueError, match="cannot become so visible"):
        rescale_to_visibility(clean, protected, "psnr", 10)


def test_a_pasted_perturbation_of_equal_size_changes_only_its_square() -> None:
    clean = smooth(40, 50)
    view = np.random.default_rng(0).integers(-8, 9, (16, 16, 3), np.int16)
    square = (slice(5, 21), slice(10, 26))
    found = paste_perturbation(clean, square, view).astype(int) - clean
    np.testing.assert_array_equal(found[square], view)
    found[square] = 0
    assert not found.any()


def test_an_upscaled_perturbation_stays_within_its_levels() -> None:
    clean = smooth(60, 60)
    view = np.full((16, 16, 3), 8, np.int16) * np.random.default_rng(0).choice([-1, 1], (16, 16, 3)).astype(np.int16)
    assert np.abs(paste_perturbation(clean, (slice(0, 60), slice(0, 60)), view).astype(int) - clean).max() == 8
