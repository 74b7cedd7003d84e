"""Imperceptibility, against hand calculation, published pairs and scikit-image itself."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from anti_i2v.arrays import Rgb8
from anti_i2v.metrics.imperceptibility import (
    SMOOTH_STD,
    Imperceptibility,
    compare,
    delta_e,
    psnr,
    sampling_windows,
    smooth_area_rms,
    ssim,
)
from anti_i2v.metrics.random_controls import random_psnr


def disturbed(clean: Rgb8, levels: int, seed: int = 0) -> Rgb8:
    shift = np.random.default_rng(seed).integers(-levels, levels + 1, clean.shape)
    shifted: Rgb8 = np.clip(clean + shift, 0, 255).astype(np.uint8)
    return shifted


@pytest.fixture(scope="module")
def clean() -> Rgb8:
    return np.ascontiguousarray(data.astronaut()[:120, 100:260])  # type: ignore[no-untyped-call]  # scikit-image has no annotations


@pytest.fixture(scope="module")
def protected(clean: Rgb8) -> Rgb8:
    return disturbed(clean, 6)


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(1, 48.1308), (8, 30.0690), (255, 0.0)],
)
def test_psnr_of_a_constant_difference_is_20_log10_of_255_over_it(difference: int, expected: float) -> None:
    black = np.zeros((20, 30, 3), np.uint8)
    assert psnr(black, black + np.uint8(difference)) == pytest.approx(expected, abs=1e-4)


def test_psnr_counts_every_channel_of_every_pixel() -> None:
    """One channel of one pixel in 200 off by 10: MSE 100 / 600."""
    black = np.zeros((10, 20, 3), np.uint8)
    other = black.copy()
    other[9, 19, 2] = 10
    assert psnr(black, other) == pytest.approx(10 * math.log10(65025 * 6))
    assert psnr(other, black) == psnr(black, other)


def test_psnr_is_scikit_images(clean: Rgb8, protected: Rgb8) -> None:
    assert psnr(clean, protected) == pytest.approx(peak_signal_noise_ratio(clean, protected, data_range=255))  # type: ignore[no-untyped-call]  # scikit-image has no annotations


def test_equal_photos_are_infinitely_close(clean: Rgb8) -> None:
    assert psnr(clean, clean.copy()) == math.inf
    assert ssim(clean, clean) == 1
    assert delta_e(clean, clean) == (0, 0)


def test_equal_photos_stay_json_and_come_back(clean: Rgb8) -> None:
    equal = compare(clean, clean)
    assert equal.psnr is None
    assert msgspec.json.decode(msgspec.json.encode(equal), type=Imperceptibility) == equal


def test_ssim_is_wangs_by_scikit_image(clean: Rgb8, protected: Rgb8) -> None:
    expected = structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image has no annotations
        clean, protected, channel_axis=-1, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(clean, protected) == pytest.approx(expected, abs=1e-12)


def test_delta_e_is_scikit_images_over_all_pixels(clean: Rgb8, protected: Rgb8) -> None:
    expected = color.deltaE_ciede2000(color.rgb2lab(clean), color.rgb2lab(protected))  # type: ignore[no-untyped-call]  # scikit-image has no annotations
    mean, percentile = delta_e(clean, protected)
    assert mean == pytest.approx(expected.mean())
    assert percentile == pytest.approx(np.percentile(expected, 95))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_colour_difference_is_sharmas(first: tuple[float, ...], second: tuple[float, ...], expected: float) -> None:
    """Published pairs of Sharma, Wu and Dalal (2005), table 1, through the very function that delta_e calls."""
    assert color.deltaE_ciede2000(np.array(first), np.array(second)) == pytest.approx(expected, abs=1e-4)  # type: ignore[no-untyped-call]  # scikit-image has no annotations


def test_the_whole_chain_from_srgb_puts_black_and_white_100_apart() -> None:
    """L* runs to 100 (not 1) and sRGB to 255: a slip in either unit shows here."""
    black = np.zeros((16, 16, 3), np.uint8)
    mean, percentile = delta_e(black, np.full_like(black, 255))
    assert mean == pytest.approx(100, abs=0.01)
    assert percentile == pytest.approx(100, abs=0.01)


def test_levels_are_exact(clean: Rgb8, protected: Rgb8) -> None:
    report = compare(clean, protected)
    difference = np.abs(clean.astype(int) - protected)
    assert report.max_levels == difference.max() == 6
    assert report.mean_levels == pytest.approx(difference.mean(), abs=1e-12)
    assert report.sampled_share == 1


def test_compare_holds_the_single_numbers(clean: Rgb8, protected: Rgb8) -> None:
    report = compare(clean, protected)
    assert report.psnr == psnr(clean, protected)
    assert report.ssim == ssim(clean, protected)
    assert (report.de2000_mean, report.de2000_p95) == delta_e(clean, protected)
    assert report.smooth_area_rms == smooth_area_rms(clean, protected)


def test_a_change_in_the_last_pixel_of_a_large_photo_counts() -> None:
    clean = np.zeros((3000, 2000, 3), np.uint8)
    protected = clean.copy()
    protected[-1, -1, 2] = 200
    assert psnr(clean, protected) == pytest.approx(10 * math.log10(65025 * clean.size / 40000))


def test_stronger_noise_has_worse_numbers(clean: Rgb8) -> None:
    reports = [compare(clean, disturbed(clean, levels)) for levels in (2, 4, 8, 16)]
    for milder, stronger in pairwise(reports):
        assert milder.psnr is not None
        assert stronger.psnr is not None
        assert milder.psnr > stronger.psnr
        assert milder.ssim > stronger.ssim
        assert milder.smooth_area_rms is not None
        assert stronger.smooth_area_rms is not None
        assert milder.smooth_area_rms < stronger.smooth_area_rms
        assert milder.de2000_mean < stronger.de2000_mean
        assert milder.de2000_p95 < stronger.de2000_p95


def a_wall(side: int = 160, level: int = 200) -> Rgb8:
    return np.full((side, side, 3), level, np.uint8)


def with_waves(photo: Rgb8, amplitude: float, wavelength: float, channels: slice = slice(None)) -> Rgb8:
    """Level lines of a sine across the photo, rounded up or down by chance: a mean amplitude of less than a level."""
    columns = np.arange(photo.shape[1]) + 0.5
    wave = amplitude * np.sin(2 * np.pi * columns / wavelength)
    found = photo.astype(float)
    found[..., channels] += wave[:, None]
    rounded: Rgb8 = np.floor(found + np.random.default_rng(0).random(photo.shape)).clip(0, 255).astype(np.uint8)
    return rounded


def test_a_pattern_stands_out_from_a_wall_and_grain_of_the_same_psnr_hardly() -> None:
    """A sine of wavelength 8: a Gaussian of deviation 1 leaves exp(-(2 pi / 8)^2 / 2) of it, and a box of 17 leaves
    sin(17 x) / (17 sin(x)), x half of its frequency."""
    wall = a_wall()
    waved = with_waves(wall, 4, 8)
    half = math.pi / 8
    left = math.exp(-((2 * half) ** 2) / 2) - math.sin(17 * half) / (17 * math.sin(half))
    found = smooth_area_rms(wall, waved)
    assert found == pytest.approx(4 / math.sqrt(2) * left, rel=0.05)
    grain = random_psnr(wall, waved, seed=0)
    assert psnr(wall, grain) == psnr(wall, waved)
    among_grain = smooth_area_rms(wall, grain)
    assert found is not None
    assert among_grain is not None
    assert among_grain < 0.5 * found


def test_masked_texture_does_not_count_and_a_photo_without_smooth_areas_has_no_number(clean: Rgb8) -> None:
    textured = disturbed(a_wall(), round(4 * SMOOTH_STD))
    assert smooth_area_rms(textured, with_waves(textured, 4, 8)) is None
    half = a_wall()
    half[:, :80] = textured[:, :80]
    spoiled = half.copy()
    spoiled[:, :60] = with_waves(half, 8, 8)[:, :60]
    assert smooth_area_rms(half, spoiled) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("level", [1, 20])
def test_a_change_of_tone_does_not_count(level: int) -> None:
    assert smooth_area_rms(a_wall(), a_wall(level=200 + level)) == pytest.approx(0, abs=1e-3)


def test_colour_without_luma_does_not_count() -> None:
    wall, found = a_wall(), a_wall()
    found[:, ::8, 0] += 20
    found[:, ::8, 1] -= 10  # .299 * 20 - .587 * 10 is next to nothing
    assert (smooth_area_rms(wall, found) or 0) < 0.1


def test_a_large_photo_is_measured_at_the_size_of_a_screen() -> None:
    """Three times as large on both axes, the same pattern three times as wide: the same picture on the screen."""
    wall = a_wall(1080)
    waved = with_waves(wall, 4, 8)
    wide, broad = (np.repeat(np.repeat(photo, 3, 0), 3, 1) for photo in (wall, waved))
    assert smooth_area_rms(wide, broad) == pytest.approx(smooth_area_rms(wall, waved), rel=1e-3)


@pytest.mark.parametrize(
    ("height", "width"),
    [(1024, 1024), (1025, 1024), (3000, 4000), (4000, 3000), (6000, 10000), (300, 20000), (9000, 200), (20, 999999)],
)
def test_windows_are_disjoint_inside_the_photo_and_a_megapixel_at_most(height: int, width: int) -> None:
    windows = sampling_windows(height, width)
    seen = np.zeros((height, width), np.uint8)
    for rows, columns in windows:
        assert 0 <= rows.start < rows.stop <= height
        assert 0 <= columns.start < columns.stop <= width
        seen[rows, columns] += 1
    assert seen.max() == 1
    assert 0 < np.count_nonzero(seen) <= 16 * 256 * 256


@pytest.mark.slow
def test_a_large_photo_is_sampled_close_to_the_whole() -> None:
    clean = np.tile(data.astronaut(), (4, 5, 1))  # type: ignore[no-untyped-call]  # scikit-image has no annotations
    protected = disturbed(clean, 6)
    report = compare(clean, protected)
    assert report.sampled_share == pytest.approx(16 * 256 * 256 / (clean.shape[0] * clean.shape[1]))
    whole = compare(clean[:512, :512], protected[:512, :512])
    assert report.ssim == pytest.approx(whole.ssim, abs=0.05)
    assert report.de2000_mean == pytest.approx(whole.de2000_mean, rel=0.15)
    assert report == compare(clean, protected)


@pytest.mark.parametrize("measure", [psnr, ssim, delta_e, smooth_area_rms, compare])
def test_photos_of_different_sizes_are_refused(measure: object, clean: Rgb8) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match=r"one size .* got \(120, 160, 3\) and \(120, 159, 3\)"):
        measure(clean, clean[:, 1:])


def test_a_photo_below_the_window_of_ssim_is_refused_with_its_size() -> None:
    tiny = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 11 pixels, got 10 x 40"):
        ssim(tiny, tiny)
