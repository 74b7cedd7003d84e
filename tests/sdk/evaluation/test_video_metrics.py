"""Video metrics on videos whose values are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.video_metrics import (
    MAX_PSNR,
    METRICS,
    MetricModels,
    coherence,
    measure_video,
    motion,
    optical_flow,
    sharpness,
)

from .conftest import noised, smooth


def textured(height: int, width: int) -> Rgb8:
    """Strokes of some pixels, which optical flow can follow."""
    rough = np.random.default_rng(0).uniform(0, 255, (height, width, 3))
    soft = gaussian_filter(rough, (2, 2, 0))
    return (255 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)


def panned(steps: int, pixels: int, side: int = 96) -> Rgb8:
    wide = textured(side, side + steps * pixels)
    return np.stack([wide[:, number * pixels : number * pixels + side] for number in range(steps)])


def test_a_shifted_frame_is_coherent_and_moves_by_the_shift() -> None:
    before, after = panned(2, 3)
    steps = optical_flow(before, after)
    np.testing.assert_allclose(np.median(steps, (0, 1)), (3, 0), atol=0.1)
    assert motion(steps) == pytest.approx(3, abs=0.25)
    inner = (slice(8, -8), slice(8, -8))
    assert coherence(before[inner], after[inner], steps[inner]) > 30
    assert coherence(before, after, np.full_like(steps, (3, 0))) == MAX_PSNR


def test_unrelated_frames_are_incoherent() -> None:
    before, after = textured(96, 96), textured(96, 96)[::-1, ::-1].copy()
    shifted = panned(2, 3)
    assert coherence(before, after, optical_flow(before, after)) < coherence(*shifted, optical_flow(*shifted)) - 6


def test_a_still_video_is_coherent_and_does_not_move() -> None:
    frame = textured(64, 64)
    steps = optical_flow(frame, frame)
    assert coherence(frame, frame, steps) == MAX_PSNR
    assert motion(steps) == 0


def test_blur_lowers_sharpness_monotonically() -> None:
    photo = textured(96, 96)
    blurred = [gaussian_filter(photo.astype(float), (sigma, sigma, 0)).astype(np.uint8) for sigma in (0, 1, 2, 4)]
    values = [sharpness(each) for each in blurred]
    assert values == sorted(values, reverse=True)
    assert 0 <= values[-1] < values[0] <= 1


def test_a_video_of_the_photo_itself_has_perfect_metrics(no_models: MetricModels) -> None:
    photo = textured(48, 48)
    video = np.stack([photo] * 3)
    found = measure_video(video, photo, video, no_models)
    assert (found["first_frame_psnr"], found["ssim"], found["coherence"]) == pytest.approx((MAX_PSNR, 1, MAX_PSNR))
    assert found["motion"] == 0
    assert set(found) == {"first_frame_psnr", "ssim", "sharpness", "coherence", "motion"}  # no models: no such numbers


def test_psnr_and_ssim_equal_scikit_images(no_models: MetricModels) -> None:
    photo = textured(48, 48)
    video, beside = (np.stack([noised(photo, 20, seed) for seed in range(first, first + 2)]) for first in (0, 2))
    found = measure_video(video, photo, beside, no_models)
    assert found["first_frame_psnr"] == pytest.approx(
        peak_signal_noise_ratio(photo, video[0], data_range=255)  # type: ignore[no-untyped-call]  # scikit-image
    )
    known = [
        structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image
            one, other, channel_axis=-1, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for one, other in zip(video, beside, strict=True)
    ]
    assert found["ssim"] == pytest.approx(np.mean(known), abs=1e-6)


def test_half_a_level_is_below_the_psnr_cap() -> None:
    assert 10 * math.log10(255**2 / 0.25) < MAX_PSNR


def test_only_requested_metrics_are_computed(no_models: MetricModels) -> None:
    video = np.stack([smooth(32, 32)] * 2)
    assert set(measure_video(video, video[0], video, no_models, ["first_frame_psnr", "identity"])) == {
        "first_frame_psnr"
    }


def test_a_single_frame_has_no_motion_metrics(no_models: MetricModels) -> None:
    video = smooth(32, 32)[None]
    assert not {"coherence", "motion"} & set(measure_video(video, video[0], video, no_models))


def test_damage_raises_only_lpips() -> None:
    assert {name: metric.sign for name, metric in METRICS.items() if metric.damage == "higher"} == {
        "first_frame_lpips": -1,
        "lpips": -1,
    }


def portrait() -> Rgb8:
    return np.ascontiguousarray(data.astronaut()[:220, 120:340])  # type: ignore[no-untyped-call]  # scikit-image


def test_equal_frames_have_identity_1_and_no_distance(models: MetricModels) -> None:
    video = np.stack([portrait()] * 2)
    found = measure_video(video, portrait(), video, models)
    assert set(found) == set(METRICS)
    assert found["identity"] == pytest.approx(1, abs=1e-5)
    assert found["face"] > 0.9
    assert (found["lpips"], found["first_frame_lpips"]) == pytest.approx((0, 0), abs=1e-6)


def test_a_frame_without_a_face_counts_as_zero(models: MetricModels) -> None:
    video = np.stack([portrait(), np.full_like(portrait(), 128)])
    found = measure_video(video, portrait(), video, models, ["identity", "face"])
    assert found["identity"] == pytest.approx(0.5, abs=1e-5)


def test_a_photo_without_a_face_has_no_identity_to_keep(models: MetricModels) -> None:
    video = np.stack([textured(64, 64)] * 2)
    assert not {"identity", "face"} & set(measure_video(video, video[0], video, models))


def test_damage_moves_every_metric_in_its_stated_direction(models: MetricModels) -> None:
    photo = portrait()
    good = np.stack([photo, np.roll(photo, 1, 1)])
    rough = gaussian_filter(good.astype(float), (0, 5, 5, 0)).astype(np.uint8)
    bad = np.stack([rough[0], noised(rough[1], 30)])
    before, after = measure_video(good, photo, good, models), measure_video(bad, photo, good, models)
    for name in ("identity", "first_frame_psnr", "first_frame_lpips", "lpips", "ssim", "coherence"):
        assert (before[name] - after[name]) * METRICS[name].sign > 0, name


def test_missing_networks_are_listed(empty_home: object) -> None:
    found = MetricModels.available()
    assert found.faces is None
    assert found.lpips is None
    assert len(found.missing) == 2
